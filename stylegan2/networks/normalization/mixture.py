"""Mixture normalization of features (Kalayeh and Shah 2018, arXiv 1806.02892)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from .base import affine_parameters, in_layers, scaled_and_shifted
from .batch import R1_NOTE


@in_layers("mixture", couples_samples=True, notes={"r1": R1_NOTE, "r2": R1_NOTE})
class MixtureNorm(nn.Module):
    """y = γ·Σ_k ν_k(x)/√λ_k·(x - μ_k)/√(σ²_k + ε) + β, where x are the pixels' vectors of C channels.

    ν_k(x) is the posterior of component k of a Gaussian mixture with diagonal covariances, which has no gradient.
    λ_k, μ_k and σ²_k are the moments of the batch with the weights ν_k. In training mode, EM steps on the batch move
    the stored mixture before. In evaluation mode, the stored mixture gives all of them.

    Args:
        num_features: C.
        components: K.
        eps: ε.
        momentum: Share of a new batch in the stored mixture.
        affine: Whether there are γ and β.
        steps: EM steps per batch.
    """

    proportions: Tensor
    running_mean: Tensor
    running_var: Tensor
    initialized: Tensor

    def __init__(
        self,
        num_features: int,
        components: int = 3,
        eps: float = 1e-5,
        momentum: float = 0.1,
        affine: bool = True,
        steps: int = 2,
    ):
        super().__init__()
        self.eps, self.momentum, self.steps = eps, momentum, steps
        self.register_buffer("proportions", torch.full((components,), 1 / components))
        self.register_buffer("running_mean", torch.zeros(components, num_features))
        self.register_buffer("running_var", torch.ones(components, num_features))
        self.register_buffer("initialized", torch.tensor(False))
        affine_parameters(self, num_features, affine)

    def forward(self, x: Tensor) -> Tensor:
        n, c, h, w = x.shape
        rows = x.permute(0, 2, 3, 1).reshape(-1, c)
        if self.training:
            posterior = self._fitted_posterior(rows.detach())
            proportions, mean, var = moments(rows, posterior)
            self._update(proportions.detach(), mean.detach(), var.detach(), len(rows))
        else:
            proportions, mean, var = self.proportions, self.running_mean, self.running_var
            posterior = log_posterior(rows.detach(), proportions, mean, var + self.eps).exp()
        inverse = (var + self.eps).rsqrt()
        share = posterior * proportions.clamp_min(1e-6).rsqrt()  # (M, K)
        y = rows * (share @ inverse) - share @ (mean * inverse)
        return scaled_and_shifted(self, y.view(n, h, w, c).permute(0, 3, 1, 2))

    @torch.no_grad()
    def _fitted_posterior(self, rows: Tensor) -> Tensor:
        """ν (M, K) after EM steps on a batch, which start from the stored mixture."""
        proportions, mean, var = self.proportions, self.running_mean, self.running_var
        if not self.initialized and len(mean) > 1:
            at = torch.linspace(0, len(rows) - 1, len(mean), device=rows.device).long()
            order = rows.sum(dim=1).argsort()
            mean, var = rows[order[at]], rows.var(dim=0, unbiased=False).expand_as(var)
        for _ in range(self.steps):
            posterior = log_posterior(rows, proportions, mean, var + self.eps).exp()
            proportions, mean, var = moments(rows, posterior)
        return log_posterior(rows, proportions, mean, var + self.eps).exp()

    @torch.no_grad()
    def _update(self, proportions: Tensor, mean: Tensor, var: Tensor, count: int) -> None:
        first = not self.initialized and len(mean) > 1  # components have no meaning before the first fit
        share = 1.0 if first else self.momentum
        counts = proportions * count
        unbiased = var * (counts / (counts - 1).clamp_min(1))[:, None]
        self.proportions.lerp_(proportions, share)
        self.running_mean.lerp_(mean, share)
        self.running_var.lerp_(unbiased, share)
        self.initialized.fill_(True)


def log_posterior(rows: Tensor, proportions: Tensor, mean: Tensor, var: Tensor) -> Tensor:
    """log ν_k of rows (M, C) in a mixture of K Gaussians with means and variances (K, C): (M, K)."""
    center = mean.mean(dim=0)
    rows, mean, precision = rows - center, mean - center, 1 / var
    distance = rows.square() @ precision.t() - 2 * rows @ (mean * precision).t()
    distance = distance + (mean.square() * precision).sum(dim=1)
    log_density = -0.5 * (distance + var.log().sum(dim=1) + mean.shape[1] * math.log(2 * math.pi))
    return (log_density + proportions.clamp_min(1e-30).log()).log_softmax(dim=1)


def moments(rows: Tensor, posterior: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Proportions (K,), means and variances (K, C) of rows (M, C) with the weights ν (M, K)."""
    total = posterior.sum(dim=0)
    share = posterior / total.clamp_min(1e-6)
    center = rows.mean(dim=0)
    centered = rows - center
    mean = share.t() @ centered
    var = (share.t() @ centered.square() - mean.square()).clamp_min(0)
    return total / len(rows), mean + center, var
