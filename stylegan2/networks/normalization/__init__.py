"""Normalizations of layers, chosen by name: demodulation or its replacement in G, and a normalization in D.

A normalization is one registered subclass of `Normalization`, in a file of this package or in a user's
module. `Scalings.style_normalization` chooses that of the generator, and `DiscriminatorConfig.normalization`
that of the discriminator.
"""

from __future__ import annotations

from torch import Tensor, nn

from stylegan2.registry import Registry


class Normalization(nn.Module):
    """One way to keep the scale of a layer's weights or features. A subclass overrides what it changes.

    Args:
        weight: The layer's kernels (O, I, k, k) at initialization, scaled as the method `weight` gets them.
    """

    demodulates = False
    """Whether `layers.modulated_conv2d` divides each sample's kernels by their Euclidean length."""

    needs_styles = False
    """Whether the normalization works only in layers with styles, which the discriminator does not have."""

    def __init__(self, weight: Tensor):
        super().__init__()

    def weight(self, weight: Tensor) -> Tensor:
        """Map the kernels (O, I, k, k), scaled for equalized learning rate, to those that the layer uses."""
        return weight

    def features(self, x: Tensor) -> Tensor:
        """Map the convolved features (N, O, H, W) to those that noise and bias are added to."""
        return x


normalizations: Registry[type[Normalization]] = Registry("normalization", __name__)
