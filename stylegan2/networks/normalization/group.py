"""Group normalization of features (Wu and He 2018, arXiv 1803.08494)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .base import in_layers, largest_divisor


@in_layers("group")
class GroupNorm(nn.GroupNorm):
    """y = γ·(x - μ)/√(σ² + ε) + β, with μ and σ² over the pixels and a group of channels of one sample.

    Args:
        num_features: Number of channels.
        groups: Upper limit of the number of groups, which is the largest divisor of the number of channels within it.
        eps: ε.
        affine: Whether there are γ and β.
    """

    def __init__(self, num_features: int, groups: int = 32, eps: float = 1e-5, affine: bool = True):
        super().__init__(largest_divisor(num_features, groups), num_features, eps=eps, affine=affine)

    def forward(self, input: Tensor) -> Tensor:
        # torch.nn.functional.group_norm refuses one sample of 1×1 pixels, whose groups may have several values.
        return torch.group_norm(input, self.num_groups, self.weight, self.bias, self.eps)
