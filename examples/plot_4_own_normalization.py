r"""
A normalization of your own
===========================

Demodulation divides each sample's kernel by its length. This is the standard deviation that the output would have
for inputs of unit variance. This example replaces it by the pixelwise normalization of PGGAN (section 4.2), which
uses the measured features instead of their expected size:

.. math:: y_{nchw} = x_{nchw} \Big/ \sqrt{\frac{1}{C} \sum_{c} x_{nchw}^2 + \epsilon}
"""

import matplotlib.pyplot as plt
import torch
from torch import Tensor

from stylegan2 import Generator, Scalings
from stylegan2.networks.layers import SynthesisLayer
from stylegan2.networks.normalization import Normalization, normalizations


@normalizations.register("own_pixel")
class PixelNormalization(Normalization):
    """Divides the features of each pixel by their root mean square over the channels."""

    def features(self, x: Tensor) -> Tensor:
        return x * torch.rsqrt(x.square().mean(dim=1, keepdim=True) + 1e-8)


# %%
# The generator finds the normalization by its name. The generators below have the same weights. In one layer the
# biases of the styles are multiplied by 10, so its styles are far too large. A hook records the root mean square
# of the features after each layer.
kinds = ("demodulation", "own_pixel", "instance", "none")
curves = {}
for kind in kinds:
    torch.manual_seed(0)
    generator = Generator(64, Scalings(style_normalization=kind), channel_base=2048, channel_max=64)
    layers = {name: m for name, m in generator.synthesis.named_modules() if isinstance(m, SynthesisLayer)}
    curves[kind] = []
    for layer in layers.values():
        layer.register_forward_hook(
            lambda layer, inputs, y, curve=curves[kind]: curve.append(y.square().mean().sqrt().item())
        )
    with torch.no_grad():
        generator.synthesis.b16.conv0.affine.bias *= 10
        generator(torch.randn(4, 512))

# %%
# Without a normalization the change of one layer reaches the image. Demodulation and both measured
# normalizations remove it in the same layer.
figure, axis = plt.subplots(figsize=(7, 3.2))
for kind, curve in curves.items():
    axis.semilogy(curve, marker="o", label=kind)
axis.set_xticks(range(len(layers)), list(layers), rotation=60)
axis.set(ylabel="rms of the features")
axis.legend()
figure.tight_layout()

# %%
# StyleGAN2 does not use measured statistics, because a generator can get around them with a local spike that
# dominates the statistics. These spikes are the droplets of section 2.1 of the paper. Demodulation depends only
# on the weights and the styles.
print({kind: round(curve[-1], 2) for kind, curve in curves.items()})
