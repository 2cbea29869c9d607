"""Faster implementations of normalizations. They equal their definitions up to rounding.

They need no compiler and work on any device. A factor for each sample and channel needs no pass over memory of its
own, because `bias_act` applies it.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .dispatch import bias_act, is_transformed


def filter_response(x: Tensor, weight: Tensor, bias: Tensor, tau: Tensor, eps: Tensor | float) -> Tensor:
    """`stylegan2.networks.normalization.filter_response.filter_response`, by max(y, τ) = relu(y - τ) + τ."""
    recorded = torch.compiler.is_exporting() or torch.jit.is_tracing() or is_transformed(x)
    power: Tensor = x.square().mean(dim=(2, 3)) if recorded else _MeanSquare.apply(x)
    y = bias_act(x, bias - tau, "relu", gain=1, scale=weight * (power + eps).rsqrt())
    return y + tau[:, None, None] if recorded or torch.is_grad_enabled() else y.add_(tau[:, None, None])


class _MeanSquare(torch.autograd.Function):
    """mean_HW x², (N, C, H, W) -> (N, C). Its derivative 2·x/(H·W) takes one pass over memory instead of three."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x.square().mean(dim=(2, 3))

    @staticmethod
    def backward(ctx: Any, cot: Tensor) -> Tensor:
        x: Tensor = ctx.saved_tensors[0]
        factor = cot * (2 / (x.shape[2] * x.shape[3]))
        return x * factor[:, :, None, None]
