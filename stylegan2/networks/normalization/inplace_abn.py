"""In-place activated batch normalization (Rota Bulò et al. 2018, arXiv 1712.02616)."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .base import affine_parameters, in_layers, per_channel
from .batch import R1_NOTE, RunningMoments


@in_layers("inplace_abn", activates=True, couples_samples=True, notes={"r1": R1_NOTE, "r2": R1_NOTE})
class InPlaceABN(nn.Module):
    """y = leaky_relu(|γ|·x̂ + β), where x̂ is batch normalized. It keeps y for the backward pass, and not x.

    The backward pass computes x̂ from y by inverting the activation, so the slope must be above 0, and γ is |γ| of at
    least 1e-5. The backward pass is differentiable itself, so R1 and path length go through it.

    Args:
        num_features: Number of channels.
        eps: ε of batch normalization.
        momentum: Share of a new batch in the running means.
        slope: Slope of the leaky ReLU for negative values.
    """

    weight: nn.Parameter
    bias: nn.Parameter

    def __init__(self, num_features: int, eps: float = 1e-5, momentum: float = 0.1, slope: float = 0.2):
        super().__init__()
        if slope <= 0:
            raise ValueError(f"expected a slope above 0, which can be inverted, got {slope}")
        self.eps, self.slope = eps, slope
        self.moments = RunningMoments(num_features, momentum)
        affine_parameters(self, num_features, True)

    def forward(self, x: Tensor) -> Tensor:
        gamma, beta = self.weight.abs().clamp_min(1e-5), self.bias
        if not self.training:
            mean, var = self.moments(x)
            scale = gamma * (var + self.eps).rsqrt()
            return F.leaky_relu((x - per_channel(mean)) * per_channel(scale) + per_channel(beta), self.slope)
        y, mean, inverse_std = _ActivatedBatchNorm.apply(x, gamma, beta, self.eps, self.slope)
        self.moments.update(mean.detach(), inverse_std.detach().pow(-2) - self.eps, x[:, 0].numel())
        return y


class _ActivatedBatchNorm(torch.autograd.Function):
    """(x, γ, β) -> (y, μ, 1/√(σ² + ε)). Its backward pass uses y, γ, β and 1/√(σ² + ε) alone."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, gamma: Tensor, beta: Tensor, eps: float, slope: float
    ) -> tuple[Tensor, Tensor, Tensor]:
        var, mean = torch.var_mean(x, dim=(0, 2, 3), unbiased=False)
        inverse_std = (var + eps).rsqrt()
        scale = gamma * inverse_std
        z = x * per_channel(scale) + per_channel(beta - mean * scale)
        y = F.leaky_relu_(z, slope)
        ctx.save_for_backward(y, gamma, beta, inverse_std)
        ctx.slope, ctx.eps = slope, eps
        return y, mean, inverse_std

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        grad_y, grad_mean, grad_inverse = gradients
        y, gamma, beta, inverse_std = ctx.saved_tensors
        slopes = torch.where(y >= 0, 1.0, ctx.slope).to(y.dtype)
        normalized = (y / slopes - per_channel(beta)) / per_channel(gamma)
        grad_z = grad_y * slopes
        count = y[:, 0].numel()
        grad_beta = grad_z.sum(dim=(0, 2, 3))
        grad_gamma = (grad_z * normalized).sum(dim=(0, 2, 3))
        scale = gamma * inverse_std
        # d(1/√(σ² + ε))/dx = -x̂·(1/√(σ² + ε))²/count and dμ/dx = 1/count
        along = scale * grad_gamma + inverse_std.square() * grad_inverse
        grad_x = (
            per_channel(scale) * grad_z
            - per_channel((scale * grad_beta - grad_mean) / count)
            - normalized * per_channel(along / count)
        )
        return grad_x, grad_gamma, grad_beta, None, None
