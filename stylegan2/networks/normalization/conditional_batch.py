"""Conditional batch normalization (de Vries et al. 2017, arXiv 1707.00683)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .base import in_layers, per_channel
from .batch import R1_NOTE, BatchNorm


@in_layers(
    "conditional_batch",
    conditional=True,
    starts_unconditional=True,
    couples_samples=True,
    notes={"r1": R1_NOTE, "r2": R1_NOTE},
)
class ConditionalBatchNorm(nn.Module):
    """y = (γ + Δγ(c))·x̂ + (β + Δβ(c)), where x̂ is batch normalized. Δγ and Δβ are linear in c and start at 0.

    Shape: x (N, C, H, W), condition (N, num_conditions) -> (N, C, H, W). With num_conditions = 0, the condition is
    (1 + Δγ, Δβ) itself, (N, 2·C).
    """

    def __init__(self, num_features: int, num_conditions: int = 0, eps: float = 1e-5, momentum: float = 0.1):
        super().__init__()
        self.batch = BatchNorm(num_features, eps=eps, momentum=momentum, affine=False)
        self.weight = nn.Parameter(torch.ones(num_features))
        self.bias = nn.Parameter(torch.zeros(num_features))
        self.delta: nn.Linear | None = None
        if num_conditions:
            self.delta = nn.Linear(num_conditions, 2 * num_features, bias=False)
            nn.init.zeros_(self.delta.weight)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        normalized = self.batch(x)
        scale, shift = (condition if self.delta is None else self.delta(condition)).chunk(2, dim=1)
        if self.delta is None:
            scale = scale - 1
        return normalized * per_channel(self.weight + scale) + per_channel(self.bias + shift)
