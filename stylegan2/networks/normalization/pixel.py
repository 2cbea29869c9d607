"""Pixelwise feature vector normalization (PGGAN §4.2, arXiv 1710.10196)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .base import in_layers


@in_layers("pixel")
class PixelNorm(nn.Module):
    """y = x/√(mean_C x² + ε), where the mean is over the channels of one pixel. PGGAN uses it in the generator."""

    def __init__(self, num_features: int, eps: float = 1e-8):
        super().__init__()
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.rsqrt(x.square().mean(dim=1, keepdim=True) + self.eps)
