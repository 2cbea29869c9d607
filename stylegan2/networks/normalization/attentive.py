"""Attentive normalization of features (Li et al. 2019, arXiv 1908.01259)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .base import in_layers, per_channel
from .batch import R1_NOTE, BatchNorm


@in_layers("attentive", couples_samples=True, notes={"r1": R1_NOTE, "r2": R1_NOTE})
class AttentiveNorm(nn.Module):
    """y = Σ_k λ_k(x)·(γ_k·x̂ + β_k), where x̂ is batch normalized and λ = softmax(A·mean_HW x + a).

    The K rows start as γ ~ N(1, 0.1²) and β ~ N(0, 0.1²). The attention reads the input, not x̂. It is a softmax, one
    of the paper's choices, so the λ sum to 1 and the layer starts near unit scale.

    Args:
        num_features: C.
        components: K.
        eps: ε of batch normalization.
        momentum: Share of a new batch in the running means.
    """

    def __init__(self, num_features: int, components: int = 5, eps: float = 1e-5, momentum: float = 0.1):
        super().__init__()
        self.batch = BatchNorm(num_features, eps=eps, momentum=momentum, affine=False)
        self.attention = nn.Linear(num_features, components)
        self.weight = nn.Parameter(1 + 0.1 * torch.randn(components, num_features))
        self.bias = nn.Parameter(0.1 * torch.randn(components, num_features))

    def forward(self, x: Tensor) -> Tensor:
        attention = self.attention(x.mean(dim=(2, 3))).softmax(dim=1)
        return self.batch(x) * per_channel(attention @ self.weight) + per_channel(attention @ self.bias)
