"""Instance normalization of features (Ulyanov et al. 2016, arXiv 1607.08022)."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from .base import in_layers, per_channel


@in_layers("instance")
class InstanceNorm(nn.InstanceNorm2d):
    """y = γ·(x - μ)/√(σ² + ε) + β, with μ and σ² over the pixels of each sample and channel.

    Demodulation replaced it in the generator, because it causes droplet artifacts (SG2 §2.1). A map of 1×1
    becomes β.
    """

    def __init__(self, num_features: int, eps: float = 1e-5, affine: bool = True):
        super().__init__(num_features, eps=eps, affine=affine)

    def forward(self, input: Tensor) -> Tensor:
        return _instance_norm(input, self.weight, self.bias, self.eps)


def _instance_norm(x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float) -> Tensor:
    if x.shape[2] * x.shape[3] == 1:  # the definition gives β, but PyTorch raises an error
        return x * 0 if bias is None else x * 0 + per_channel(bias)
    return F.instance_norm(x, weight=weight, bias=bias, eps=eps)


def instance_norm(x: Tensor, eps: float = 1e-5) -> Tensor:
    """(x - μ)/√(σ² + ε), with μ and σ² over the pixels of each sample and channel. Shape: (N, C, H, W)."""
    return _instance_norm(x, None, None, eps)
