"""Batch-channel normalization of features (Qiao et al. 2019, arXiv 1911.09738)."""

from __future__ import annotations

from torch import Tensor, nn

from .base import in_layers
from .batch import R1_NOTE, BatchNorm
from .group import GroupNorm


@in_layers("batch_channel", couples_samples=True, notes={"r1": R1_NOTE, "r2": R1_NOTE})
class BatchChannelNorm(nn.Module):
    """y = group(batch(x)): batch normalization keeps channels apart, and group normalization follows.

    Both have their own γ and β. Batch normalization keeps channels from being zero for all samples.
    """

    def __init__(self, num_features: int, groups: int = 32, eps: float = 1e-5, momentum: float = 0.1):
        super().__init__()
        self.batch = BatchNorm(num_features, eps=eps, momentum=momentum)
        self.group = GroupNorm(num_features, groups, eps=eps)

    def forward(self, x: Tensor) -> Tensor:
        normalized: Tensor = self.group(self.batch(x))
        return normalized
