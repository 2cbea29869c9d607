"""Conditional instance normalization (Dumoulin et al. 2016, arXiv 1610.07629)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .base import in_layers, per_channel
from .instance import instance_norm


@in_layers("conditional_instance", conditional=True)
class ConditionalInstanceNorm(nn.Module):
    """y = γ_c·(x - μ)/√(σ² + ε) + β_c, with μ and σ² over the pixels, and a table of γ and β with a row per class.

    A label that is not one-hot mixes the rows: γ_c = Σ c_i γ_i.

    Shape: x (N, C, H, W), label (N, num_conditions) -> (N, C, H, W). With num_conditions = 0, the condition is
    (γ_c, β_c) itself, (N, 2·C).
    """

    def __init__(self, num_features: int, num_conditions: int = 0, eps: float = 1e-5):
        super().__init__()
        self.eps = eps
        self.table: nn.Parameter | None = None
        if num_conditions:
            rows = torch.tensor([1.0, 0.0]).repeat_interleave(num_features)
            self.table = nn.Parameter(rows.repeat(num_conditions, 1))

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        rows = condition if self.table is None else condition @ self.table
        gamma, beta = rows.chunk(2, dim=1)
        return instance_norm(x, self.eps) * per_channel(gamma) + per_channel(beta)
