"""Instance-level meta normalization, ILM-Norm (Jia et al. 2019, arXiv 1904.03516)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .base import in_layers, largest_divisor, per_channel


@in_layers("instance_meta")
class InstanceMetaNorm(nn.Module):
    """y = (sigmoid(D_γ·e(σ²)) + γ₀)·x̂ + tanh(D_β·e(μ)) + β₀ with e(m) = relu(E·m), where x̂ is group normalized.

    μ and σ² are those of the groups of each sample, and an auto-encoder maps them to the scale and shift of each
    channel. Both share the encoder E. D_γ and D_β start at 0, γ₀ at 1/2 and β₀ at 0, so the layer starts as group
    normalization.

    Args:
        num_features: Number of channels.
        groups: Upper limit of the number of groups, which is the largest divisor of the number of channels within it.
        eps: ε.
    """

    def __init__(self, num_features: int, groups: int = 32, eps: float = 1e-5):
        super().__init__()
        self.eps, self.groups = eps, largest_divisor(num_features, groups)
        hidden = max(self.groups // 2, 1)
        self.encoder = nn.Linear(self.groups, hidden)
        self.to_scale = nn.Linear(hidden, num_features)
        self.to_shift = nn.Linear(hidden, num_features)
        for decoder in (self.to_scale, self.to_shift):
            nn.init.zeros_(decoder.weight)
            nn.init.zeros_(decoder.bias)
        self.weight = nn.Parameter(torch.full((num_features,), 0.5))
        self.bias = nn.Parameter(torch.zeros(num_features))

    def forward(self, x: Tensor) -> Tensor:
        grouped = x.reshape(x.shape[0], self.groups, -1)
        var, mean = torch.var_mean(grouped, dim=2, unbiased=False)
        normalized = (grouped - mean[..., None]) * (var + self.eps).rsqrt()[..., None]
        scale = self.to_scale(self.encoder(var).relu()).sigmoid() + self.weight
        shift = self.to_shift(self.encoder(mean).relu()).tanh() + self.bias
        return normalized.view_as(x) * per_channel(scale) + per_channel(shift)
