"""Dynamic tanh in place of a normalization (Zhu et al. 2025, arXiv 2503.10622)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .base import affine_parameters, in_layers, scaled_and_shifted


@in_layers("dynamic_tanh")
class DynamicTanh(nn.Module):
    """y = γ·tanh(α·x) + β with one learned α per layer, and γ, β per channel. It measures nothing.

    γ starts at the inverse of the rms of tanh(α·x) for x ~ N(0, 1), so the layer starts at unit scale. The paper
    starts it at 1.

    Args:
        num_features: Number of channels.
        alpha: α at the start.
        affine: Whether there are γ and β.
    """

    def __init__(self, num_features: int, alpha: float = 0.5, affine: bool = True):
        super().__init__()
        self.alpha = nn.Parameter(torch.tensor(alpha))
        affine_parameters(self, num_features, affine)
        if isinstance(self.weight, Tensor):
            # E tanh² by the trapezoidal rule, which is exact to many digits for smooth functions that decay
            x = torch.linspace(-8, 8, 401, dtype=torch.float64, device="cpu")
            density = (-x.square() / 2).exp()
            rms = ((alpha * x).tanh().square() * density).sum().div(density.sum()).sqrt()
            nn.init.constant_(self.weight, 1 / float(rms))

    def forward(self, x: Tensor) -> Tensor:
        return scaled_and_shifted(self, (self.alpha * x).tanh())
