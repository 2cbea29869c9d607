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
    """An activation function of (x, alpha), the default factor on its result, and the default alpha.

    The gain √2 of relu, lrelu and swish makes up for the power that these functions remove.
    """

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
    # PyTorch's default threshold of 20 replaces log(1 + exp(x)) by x too early for float64.
    "softplus": Activation(lambda x, _: F.softplus(x, threshold=50)),
    "swish": Activation(lambda x, _: x * torch.sigmoid(x), gain=math.sqrt(2)),
}
"""Every activation by name. A new entry works everywhere. Compiled kernels exist only for the ones above."""


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
    """Add a bias, then apply an activation, a gain and a clamp: y = clamp(gain · act(x + b), ±clamp).

    Args:
        x: Tensor of any shape.
        b: Bias of shape (x.shape[dim],). None adds no bias.
        act: Name of an entry of `activations`.
        alpha: Slope of lrelu for negative values. None takes the activation's default, 0.2.
        gain: Factor on the activation's result. None takes the activation's default, which is √2 for relu,
            lrelu and swish, and 1 otherwise.
        clamp: Bound on the absolute value of the result after the gain, 0 or more. None sets no bound.
        dim: The dimension of x that b belongs to.

    Returns:
        A tensor with the shape and type of x.

    Raises:
        ValueError: The activation is unknown, the clamp is negative, or the shape of the bias does not fit.
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
    """Check the arguments of `bias_act`, and return the alpha and the gain to use. Raises ValueError."""
    if act not in activations:
        raise ValueError(f"unknown activation {act!r}; choose one of {', '.join(activations)}")
    if b is not None and (b.ndim != 1 or b.shape[0] != x.shape[dim]):
        raise ValueError(
            f"expected a bias of shape ({x.shape[dim]},) for dimension {dim} of an input of shape "
            f"{tuple(x.shape)}, got shape {tuple(b.shape)}"
        )
    if clamp is not None and clamp < 0:
        raise ValueError(f"expected clamp ≥ 0 or None, got {clamp}")
    default = activations[act]
    return default.alpha if alpha is None else alpha, default.gain if gain is None else gain
