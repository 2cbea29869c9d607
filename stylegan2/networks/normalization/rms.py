"""Root mean square layer normalization of features (Zhang and Sennrich 2019, arXiv 1910.07467)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .base import in_layers, per_channel


@in_layers("rms")
class RMSNorm(nn.Module):
    """y = γ·x/√(mean_CHW x² + ε), where the mean is over channels and pixels of one sample. It subtracts no mean."""

    def __init__(self, num_features: int, eps: float = 1e-5, affine: bool = True):
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(num_features)) if affine else None

    def forward(self, x: Tensor) -> Tensor:
        y = x * torch.rsqrt(x.square().mean(dim=(1, 2, 3), keepdim=True) + self.eps)
        return y if self.weight is None else y * per_channel(self.weight)
