"""The normalization of a layer, chosen by name: in the generator's place of demodulation, or in D's layers.

A kind is one file here (or in a user's module) with one registered subclass of `Normalization`. The generator
takes it from `Scalings.style_normalization`, the discriminator from `DiscriminatorConfig.normalization`.
"""

from __future__ import annotations

from torch import Tensor, nn

from stylegan2.registry import Registry


class Normalization(nn.Module):
    """One way to keep the scale of a layer's weights or features. A kind overrides what it changes.

    Args:
        weight: The layer's kernel at initialization as `weight` will get it, (O, I, k, k).
    """

    demodulates = False
    """Whether each sample's kernel is divided by its length (`layers.modulated_conv2d` does it)."""

    needs_styles = False
    """Whether the kind makes sense in a layer with styles alone, which the discriminator has none of."""

    def __init__(self, weight: Tensor):
        super().__init__()

    def weight(self, weight: Tensor) -> Tensor:
        """The kernel that the layer stores, scaled for equalized learning rate, to the kernel it uses."""
        return weight

    def features(self, x: Tensor) -> Tensor:
        """What the convolution gives, (N, O, H, W), to what noise, bias and activation get."""
        return x


normalizations: Registry[type[Normalization]] = Registry("normalization", __name__)
