"""Instance normalization of features (Ulyanov et al. 2016, arXiv 1607.08022)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .base import in_layers


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
    # torch.nn.functional.instance_norm takes up to 7 times as long, and refuses maps of 1×1.
    return torch.group_norm(x, x.shape[1], weight, bias, eps)


def instance_norm(x: Tensor, eps: float = 1e-5) -> Tensor:
    """(x - μ)/√(σ² + ε), with μ and σ² over the pixels of each sample and channel. Shape: (N, C, H, W)."""
    return _instance_norm(x, None, None, eps)
