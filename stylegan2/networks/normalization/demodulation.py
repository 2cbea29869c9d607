"""StyleGAN2's own: each sample's kernel is divided by its Euclidean length."""

from . import Normalization, normalizations


@normalizations.register("demodulation")
class Demodulation(Normalization):
    """w'' = s·w / √(Σ (s·w)² + ε) over the inputs and pixels of a kernel (SG2 §2.2, equation 3).

    `layers.demodulation_coefficients` is the equation. It cancels any constant on w, so w carries none.
    """

    demodulates = True
    needs_styles = True
