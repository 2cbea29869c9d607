"""Stable rank normalization (Sanyal et al. 2020, arXiv 1906.04659)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .base import on_weights


@on_weights("stable_rank")
class StableRankNorm(nn.Module):
    """ŵ = (σ₁u₁v₁ᵀ + a·R)/σ₁ with R = W - σ₁u₁v₁ᵀ, and a such that the stable rank Σσ²/σ₁² is at most r.

    a = min(1, √(r - 1)·σ₁/‖R‖), so kernels of lower stable rank are only divided by σ₁. The kernels are a matrix
    (O, I·k²). u₁ and v₁ come from the power method: 30 steps at initialization, then one step per call in training
    mode. Both are buffers.

    Args:
        weight: Kernels (O, I, k, k) at initialization.
        target: r as a share of the full rank, min(O, I·k²). r is at least 1.
    """

    u: Tensor
    v: Tensor

    def __init__(self, weight: Tensor, target: float = 0.3):
        super().__init__()
        matrix = weight.detach().flatten(1)
        self.rank = max(target * min(matrix.shape), 1.0)
        self.register_buffer("u", F.normalize(torch.randn(len(matrix)).to(matrix), dim=0))
        self.register_buffer("v", F.normalize(torch.randn(matrix.shape[1]).to(matrix), dim=0))
        self._power_steps(matrix, 30)

    def forward(self, weight: Tensor) -> Tensor:
        matrix = weight.flatten(1)
        if self.training:
            self._power_steps(matrix.detach(), 1)
        u, v = self.u.clone(), self.v.clone()  # a later call changes the buffers
        sigma = u @ (matrix @ v)
        first = sigma * torch.outer(u, v)
        rest = matrix - first
        size = (rest.square().sum() + 1e-20).sqrt()
        factor = ((self.rank - 1) ** 0.5 * sigma / size).clamp_max(1)
        return ((first + factor * rest) / sigma).view_as(weight)

    @torch.no_grad()
    def _power_steps(self, matrix: Tensor, steps: int) -> None:
        for _ in range(steps):
            self.v.copy_(F.normalize(matrix.t() @ self.u, dim=0))
            self.u.copy_(F.normalize(matrix @ self.v, dim=0))
