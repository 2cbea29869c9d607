"""Mode normalization of features (Deecke et al. 2018, arXiv 1810.05466)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .base import affine_parameters, in_layers, scaled_and_shifted
from .batch import R1_NOTE


@in_layers("mode", couples_samples=True, notes={"r1": R1_NOTE, "r2": R1_NOTE})
class ModeNorm(nn.Module):
    """y = γ·Σ_k g_k(x)·(x - μ_k)/√(σ²_k + ε) + β with g = softmax(A·mean_HW x + a).

    μ_k and σ²_k are the moments over samples and pixels in which sample n has the weight g_k(x_n). In evaluation
    mode, running means of both replace them.

    Args:
        num_features: C.
        components: K.
        eps: ε.
        momentum: Share of a new batch in the running means.
        affine: Whether there are γ and β.
    """

    running_mean: Tensor
    running_var: Tensor

    def __init__(
        self,
        num_features: int,
        components: int = 2,
        eps: float = 1e-5,
        momentum: float = 0.1,
        affine: bool = True,
    ):
        super().__init__()
        self.eps, self.momentum = eps, momentum
        self.gates = nn.Linear(num_features, components)
        self.register_buffer("running_mean", torch.zeros(components, num_features))
        self.register_buffer("running_var", torch.ones(components, num_features))
        affine_parameters(self, num_features, affine)

    def forward(self, x: Tensor) -> Tensor:
        means = x.mean(dim=(2, 3))
        gates = self.gates(means).softmax(dim=1)  # (N, K)
        if self.training:
            share = gates / gates.sum(dim=0)
            mean = share.t() @ means  # (K, C)
            squares = (x[:, None] - mean[:, :, None, None]).square().mean(dim=(3, 4))  # (N, K, C)
            var = (share[:, :, None] * squares).sum(dim=0)
            self._update(mean, var, gates.sum(dim=0) * x[0, 0].numel())
        else:
            mean, var = self.running_mean, self.running_var
        inverse = (var + self.eps).rsqrt()
        # Σ g_k (x - μ_k)/σ_k = x·(Σ g_k/σ_k) - Σ g_k μ_k/σ_k, but centered on the mean of all modes for accuracy
        center = mean.mean(dim=0)
        scale, shift = gates @ inverse, gates @ ((mean - center) * inverse)
        y = (x - center[:, None, None]) * scale[:, :, None, None] - shift[:, :, None, None]
        return scaled_and_shifted(self, y)

    @torch.no_grad()
    def _update(self, mean: Tensor, var: Tensor, count: Tensor) -> None:
        self.running_mean.lerp_(mean, self.momentum)
        unbiased = var * (count / (count - 1).clamp_min(1))[:, None]
        self.running_var.lerp_(unbiased, self.momentum)
