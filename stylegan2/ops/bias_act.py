"""Bias, activation, gain and clamp in one operation."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from .autocast import outside_autocast
from .replaceable import replaceable


@dataclass(frozen=True)
class Activation:
    """A nonlinearity, the gain that keeps unit variance near unit variance, and its slope parameter."""

    function: Callable[[Tensor, float], Tensor]
    gain: float = 1.0
    alpha: float = 0.0


activations: dict[str, Activation] = {
    "linear": Activation(lambda x, _: x),
    "relu": Activation(lambda x, _: F.relu(x), gain=math.sqrt(2)),
    "lrelu": Activation(lambda x, alpha: F.leaky_relu(x, alpha), gain=math.sqrt(2), alpha=0.2),
    "tanh": Activation(lambda x, _: torch.tanh(x)),
    "sigmoid": Activation(lambda x, _: torch.sigmoid(x)),
    "elu": Activation(lambda x, _: F.elu(x)),
    "selu": Activation(lambda x, _: F.selu(x)),
    # A threshold far out keeps log(1 + exp(x)) exact; torch's own is linear from 20 on.
    "softplus": Activation(lambda x, _: F.softplus(x, threshold=50)),
    "swish": Activation(lambda x, _: x * torch.sigmoid(x), gain=math.sqrt(2)),
}
"""Every activation by name. A new row works everywhere; kernels know the rows above."""


@replaceable
@outside_autocast
def bias_act(
    x: Tensor,
    b: Tensor | None = None,
    act: str = "linear",
    alpha: float | None = None,
    gain: float | None = None,
    clamp: float | None = None,
    dim: int = 1,
) -> Tensor:
    """y = clamp(gain · act(x + b), ±clamp).

    Args:
        x: Tensor of any shape.
        b: Bias (x.shape[dim],) or None.
        act: A name out of `activations`.
        alpha: Negative slope of lrelu. None: 0.2.
        gain: Factor after the activation. None: the activation's own, √2 for relu, lrelu and swish, else 1.
        clamp: Bound on the absolute value of the result, after the gain. None: no bound.
        dim: The dimension of x that b runs along.

    Returns:
        Tensor of the shape and type of x.

    Raises:
        ValueError: Unknown activation, a negative clamp, or a bias that does not fit.
    """
    alpha, gain = check_bias_act(x, b, act, alpha, gain, clamp, dim)
    if b is not None:
        x = x + b.to(x.dtype).reshape([-1 if i == dim % x.ndim else 1 for i in range(x.ndim)])
    x = activations[act].function(x, alpha)
    if gain != 1:
        x = x * gain
    if clamp is not None:
        x = x.clamp(-clamp, clamp)
    return x


def check_bias_act(
    x: Tensor,
    b: Tensor | None,
    act: str,
    alpha: float | None,
    gain: float | None,
    clamp: float | None,
    dim: int,
) -> tuple[float, float]:
    """The slope and the gain to use; raises ValueError as `bias_act` says."""
    if act not in activations:
        raise ValueError(f"unknown activation {act!r}; choose one of {', '.join(activations)}")
    if b is not None and (b.ndim != 1 or b.shape[0] != x.shape[dim]):
        raise ValueError(
            f"expected a bias of shape ({x.shape[dim]},) for dimension {dim} of {tuple(x.shape)}, "
            f"got {tuple(b.shape)}"
        )
    if clamp is not None and clamp < 0:
        raise ValueError(f"expected clamp ≥ 0 or None, got {clamp}")
    default = activations[act]
    return default.alpha if alpha is None else alpha, default.gain if gain is None else gain
