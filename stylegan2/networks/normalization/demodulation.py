"""StyleGAN2's demodulation, which divides each sample's kernels by their Euclidean length."""

from .base import Normalization, normalizations


@normalizations.register("demodulation")
class Demodulation(Normalization):
    """w'' = s·w / √(Σ (s·w)² + ε), summed over the inputs and pixels of a kernel (SG2 §2.2, equation 3).

    `layers.demodulation_coefficients` computes it. It cancels any constant factor on w, so w gets none.
    """

    demodulates = True
    needs_styles = True
