"""Filter response normalization with a thresholded linear unit (Singh and Krishnan 2019, arXiv 1911.09737)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from stylegan2.ops import replaceable

from .base import affine_parameters, in_layers, per_channel


@in_layers("filter_response", activates=True)
class FilterResponseNorm(nn.Module):
    """y = max(γ·x/√(mean_HW x² + |ε|) + β, τ), where γ, β and τ are learned for each channel.

    At 1×1 the quotient would be the sign of x, so ε is learned there, from 1e-4. The maximum is the activation.

    Args:
        num_features: Number of channels.
        eps: ε, and the least of a learned one.
        learned_eps: Whether ε is learned, from 1e-4, as for maps of 1×1. It is then eps + |the parameter|.
    """

    weight: nn.Parameter
    bias: nn.Parameter

    def __init__(self, num_features: int, eps: float = 1e-6, learned_eps: bool = True):
        super().__init__()
        self.eps = eps
        affine_parameters(self, num_features, True)
        self.tau = nn.Parameter(torch.zeros(num_features))
        self.learned_eps = nn.Parameter(torch.tensor(1e-4)) if learned_eps else None

    def forward(self, x: Tensor) -> Tensor:
        eps: Tensor | float = self.eps
        if self.learned_eps is not None and x.shape[2] * x.shape[3] == 1:
            eps = eps + self.learned_eps.abs()
        return filter_response(x, self.weight, self.bias, self.tau, eps)


@replaceable
def filter_response(x: Tensor, weight: Tensor, bias: Tensor, tau: Tensor, eps: Tensor | float) -> Tensor:
    """max(γ·x/√(mean_HW x² + ε) + β, τ) for x (N, C, H, W) and γ, β, τ (C,). `kernels` makes fewer passes over x."""
    power = x.square().mean(dim=(2, 3), keepdim=True)
    y = x * (power + eps).rsqrt() * per_channel(weight) + per_channel(bias)
    return torch.maximum(y, per_channel(tau))
