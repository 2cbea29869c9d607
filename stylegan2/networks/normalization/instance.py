"""Instance normalization of features (Ulyanov et al. 2016, arXiv 1607.08022)."""

import torch.nn.functional as F
from torch import Tensor, nn

from . import Normalization, normalizations


@normalizations.register("instance")
class InstanceNormalization(Normalization):
    """y = γ·(x - μ)/√(σ² + ε) + β, with μ and σ² over the pixels of each sample and channel, and ε = 1e-5.

    Demodulation replaced it in the generator, because it causes droplet artifacts (SG2 §2.1). A map of 1×1
    becomes β.
    """

    def __init__(self, weight: Tensor):
        super().__init__(weight)
        self.norm = nn.InstanceNorm2d(len(weight), affine=True)

    def features(self, x: Tensor) -> Tensor:
        norm = self.norm
        if x[0, 0].numel() == 1:  # the definition gives β, but PyTorch raises an error
            return (x * 0).to(x.dtype) + norm.bias.to(x.dtype)[:, None, None]
        y = F.instance_norm(x.to(norm.weight.dtype), weight=norm.weight, bias=norm.bias, eps=norm.eps)
        return y.to(x.dtype)
