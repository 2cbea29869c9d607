"""Online normalization of features (Chiley et al. 2019, arXiv 1905.05894)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from .base import affine_parameters, in_layers, scaled_and_shifted

R1_NOTE = (
    "the published backward pass, with its accumulators as constants, stands for the gradient, and its own "
    "derivative for the second one"
)
PATH_LENGTH = (
    "path lengths are lengths of a true Jacobian, and the published backward pass of online normalization is no "
    "derivative"
)


@in_layers("online", notes={"r1": R1_NOTE, "r2": R1_NOTE}, refuses={"path_length": PATH_LENGTH})
class OnlineNorm(nn.Module):
    """y_t = (x_t - μ_{t-1})/√(σ²_{t-1} + ε), then γ·y + β, then division by its rms over channels and pixels.

    The samples t of a batch come one after another: μ_t = α_f·μ_{t-1} + (1 - α_f)·mean_HW x_t, and
    σ²_t = α_f·σ²_{t-1} + (1 - α_f)·var_HW x_t + α_f·(1 - α_f)·(mean_HW x_t - μ_{t-1})².

    The backward pass is the published one, which is not the derivative of y_t. It keeps the gradient nearly
    orthogonal to y and to 1 by two accumulators: g̃_t = g_t - (1 - α_b)·ε^y_{t-1}·y_t, where ε^y_t = ε^y_{t-1} +
    mean_HW g̃_t·y_t, and x'_t = g̃_t/σ_{t-1} - (1 - α_b)·ε¹_{t-1}, where ε¹_t = ε¹_{t-1} + mean_HW x'_t. A second
    derivative takes the accumulators as constants, and a pass that builds a graph leaves them as they are.

    Args:
        num_features: Number of channels.
        eps: ε.
        alpha_forward: α_f.
        alpha_backward: α_b.
        affine: Whether there are γ and β.
        layer_scaling: Whether to divide by the rms of the sample at the end.
    """

    mean: Tensor
    var: Tensor
    along_y: Tensor
    along_1: Tensor

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        alpha_forward: float = 0.999,
        alpha_backward: float = 0.99,
        affine: bool = True,
        layer_scaling: bool = True,
    ):
        super().__init__()
        self.eps, self.alpha_forward, self.alpha_backward = eps, alpha_forward, alpha_backward
        self.layer_scaling = layer_scaling
        for name, value in (("mean", 0.0), ("var", 1.0), ("along_y", 0.0), ("along_1", 0.0)):
            self.register_buffer(name, torch.full((num_features,), value))
        affine_parameters(self, num_features, affine)

    def forward(self, x: Tensor) -> Tensor:
        means, variances = self._statistics(x.detach())
        inverse = (variances + self.eps).rsqrt()
        y = scaled_and_shifted(self, _Controlled.apply(x, means, inverse, self))
        if not self.layer_scaling:
            return y
        return y * torch.rsqrt(y.square().mean(dim=(1, 2, 3), keepdim=True) + self.eps)

    @torch.no_grad()
    def _statistics(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """μ_{t-1} and σ²_{t-1} of each sample, (N, C) both. In training mode it updates both."""
        if not self.training:
            return self.mean.expand(len(x), -1), self.var.expand(len(x), -1)
        a, means, variances = self.alpha_forward, [], []
        mean, var = self.mean, self.var
        for m, v in zip(x.mean(dim=(2, 3)), x.var(dim=(2, 3), unbiased=False)):
            means.append(mean)
            variances.append(var)
            var = a * var + (1 - a) * v + a * (1 - a) * (m - mean).square()
            mean = a * mean + (1 - a) * m
        before = torch.stack(means), torch.stack(variances)
        self.mean.copy_(mean)
        self.var.copy_(var)
        return before


class _Controlled(torch.autograd.Function):
    """(x, μ, 1/σ) -> (x - μ)/σ with the published backward pass."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, means: Tensor, inverse: Tensor, norm: OnlineNorm) -> Tensor:
        y = (x - means[:, :, None, None]) * inverse[:, :, None, None]
        ctx.save_for_backward(y, inverse)
        ctx.norm = norm
        return y

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (gradient,) = gradients
        y, inverse = ctx.saved_tensors
        norm: OnlineNorm = ctx.norm
        if not norm.training:
            return gradient * inverse[:, :, None, None], None, None, None
        along_y, along_1 = _controls(norm, y.detach(), gradient.detach(), inverse)
        controlled = gradient - along_y[:, :, None, None] * y
        return controlled * inverse[:, :, None, None] - along_1[:, :, None, None], None, None, None


def _controls(norm: OnlineNorm, y: Tensor, gradient: Tensor, inverse: Tensor) -> tuple[Tensor, Tensor]:
    """(1 - α_b)·ε^y_{t-1} and (1 - α_b)·ε¹_{t-1} of each sample, (N, C) both."""
    updates = not torch.is_grad_enabled()  # a pass that builds a graph, as in R1, does not train by itself
    with torch.no_grad():
        share, pixels = 1 - norm.alpha_backward, (2, 3)
        rows = zip(
            (gradient * y).mean(dim=pixels), y.square().mean(dim=pixels),
            gradient.mean(dim=pixels), y.mean(dim=pixels), inverse,
        )  # fmt: skip
        along_y, along_1, ys, ones = norm.along_y, norm.along_1, [], []
        for gy, yy, g, mean_y, inv in rows:
            ys.append(share * along_y)
            ones.append(share * along_1)
            along_1 = along_1 + inv * (g - share * along_y * mean_y) - share * along_1
            along_y = along_y + gy - share * along_y * yy
        if updates:
            norm.along_y.copy_(along_y)
            norm.along_1.copy_(along_1)
        return torch.stack(ys), torch.stack(ones)
