r"""
A normalization of your own
===========================

Demodulation divides each sample's kernel by its length, which is to say by the standard deviation that the
output would have for inputs of unit variance. Here another normalization takes its place: the pixelwise
normalization of PGGAN (section 4.2), which measures the features and does not predict them:

.. math:: y_{nchw} = x_{nchw} \Big/ \sqrt{\frac{1}{C} \sum_{c} x_{nchw}^2 + \epsilon}
"""

import matplotlib.pyplot as plt
import torch
from torch import Tensor

import stylegan2
from stylegan2 import Generator, Scalings
from stylegan2.networks.normalization import Normalization, normalizations


@normalizations.register("pixel")
class PixelNormalization(Normalization):
    """Features of each pixel divided by their root mean square over the channels."""

    def features(self, x: Tensor) -> Tensor:
        return x * torch.rsqrt(x.square().mean(dim=1, keepdim=True) + 1e-8)


# %%
# The name is all that the generator needs. Each of these has the same weights, and styles that are far too
# large at one layer: their biases are multiplied by 10.
kinds = ("demodulation", "pixel", "instance", "none")
probes = {}
for kind in kinds:
    torch.manual_seed(0)
    generator = Generator(64, Scalings(style_normalization=kind), channel_base=2048, channel_max=64)
    with torch.no_grad():
        generator.synthesis.b16.conv0.affine.bias *= 10
    torch.manual_seed(1)
    probes[kind] = stylegan2.probe(generator, torch.randn(4, 512))

# %%
# The root mean square of the features after each synthesis layer. Without a normalization the image follows
# the one layer that went astray. Demodulation and both measured normalizations stop it there.
figure, axis = plt.subplots(figsize=(7, 3.2))
for kind, found in probes.items():
    rows = [row for row in found.layers if row.kind == "SynthesisLayer"]
    axis.semilogy([row.rms for row in rows], marker="o", label=kind)
axis.set_xticks(range(len(rows)), [row.name.removeprefix("synthesis.") for row in rows], rotation=60)
axis.set(ylabel="rms of the features")
axis.legend()
figure.tight_layout()

# %%
# Then why does StyleGAN2 not measure? Because a generator can get around a measurement with a spike that
# dominates it, the droplets of section 2.1 of the paper. Demodulation knows the weights and the styles alone.
print({kind: round(found.rows[-1].rms, 2) for kind, found in probes.items()})
