"""Weight standardization (Qiao et al. 2019, arXiv 1903.10520)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .base import on_weights


@on_weights("weight_standardization")
class WeightStandardization(nn.Module):
    """ŵ = (w - μ)/√(σ² + ε)/√n for the kernel of each output channel, with μ and σ² over its n numbers.

    The paper leaves out the factor 1/√n and lets a normalization of features follow. With it, the kernel has length
    1, and the layer keeps the variance of its input (Brock et al. 2021, arXiv 2101.08692). ε is relative to the
    variance 1/n of a kernel of length 1.

    Args:
        weight: Kernels (O, I, k, k). Only their shape matters.
        eps: ε·n.
    """

    def __init__(self, weight: Tensor, eps: float = 1e-8):
        super().__init__()
        self.eps = eps

    def forward(self, weight: Tensor) -> Tensor:
        centered = weight - weight.mean(dim=(1, 2, 3), keepdim=True)
        return centered * torch.rsqrt(centered.square().sum(dim=(1, 2, 3), keepdim=True) + self.eps)
