"""Switchable normalization of features (Luo et al. 2018, arXiv 1806.10779)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .base import affine_parameters, in_layers, per_channel, scaled_and_shifted
from .batch import R1_NOTE, RunningMoments


@in_layers("switchable", couples_samples=True, notes={"r1": R1_NOTE, "r2": R1_NOTE})
class SwitchableNorm(nn.Module):
    """y = γ·(x - Σ w_k μ_k)/√(Σ w'_k σ²_k + ε) + β for k in instance, layer and batch.

    w and w' are softmax of three learned numbers each, which start equal. The moments of layer and batch follow from
    those of instance: they are means over channels or samples of μ, and of σ² + μ².
    """

    def __init__(self, num_features: int, eps: float = 1e-5, momentum: float = 0.1, affine: bool = True):
        super().__init__()
        self.eps = eps
        self.mean_logits = nn.Parameter(torch.ones(3))
        self.var_logits = nn.Parameter(torch.ones(3))
        self.moments = RunningMoments(num_features, momentum)
        affine_parameters(self, num_features, affine)

    def weights(self) -> tuple[Tensor, Tensor]:
        """The weights of instance, layer and batch in the mean, (3,), and in the variance, (3,)."""
        return self.mean_logits.softmax(dim=0), self.var_logits.softmax(dim=0)

    def forward(self, x: Tensor) -> Tensor:
        mean = x.mean(dim=(2, 3))
        var = x.var(dim=(2, 3), unbiased=False)
        batch_mean, batch_var = self.moments(x)
        layer_mean = mean.mean(dim=1, keepdim=True)
        layer_var = (var + mean.square()).mean(dim=1, keepdim=True) - layer_mean.square()
        w, v = self.weights()
        mean = w[0] * mean + w[1] * layer_mean + w[2] * batch_mean
        var = v[0] * var + v[1] * layer_var.clamp_min(0) + v[2] * batch_var
        normalized = (x - per_channel(mean)) * per_channel((var + self.eps).rsqrt())
        return scaled_and_shifted(self, normalized)
