"""Adaptive instance normalization (Huang and Belongie 2017, arXiv 1703.06868; in G: SG1 §2)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .base import in_layers, per_channel
from .instance import instance_norm


@in_layers("adaptive_instance", conditional=True)
class AdaptiveInstanceNorm(nn.Module):
    """y = s·(x - μ)/√(σ² + ε) + t, with μ and σ² over the pixels, and s and t a linear map of a condition.

    In style transfer, s and t are the standard deviation and the mean of another image's features. In StyleGAN they
    come from w.

    Shape: x (N, C, H, W), condition (N, num_conditions) -> (N, C, H, W). With num_conditions = 0, the condition is
    (s, t) itself, (N, 2·C).
    """

    def __init__(self, num_features: int, num_conditions: int = 0, eps: float = 1e-5):
        super().__init__()
        self.eps = eps
        self.linear: nn.Module = nn.Identity()
        if num_conditions:
            self.linear = nn.Linear(num_conditions, 2 * num_features)
            with torch.no_grad():
                self.linear.bias.copy_(torch.tensor([1.0, 0.0]).repeat_interleave(num_features))

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        scale, shift = self.linear(condition).chunk(2, dim=1)
        return instance_norm(x, self.eps) * per_channel(scale) + per_channel(shift)
