"""Bias, activation, gain and clamp in one operation."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from stylegan2.kernels import library as kernels


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


# PyTorch's vectorised exponentials beat the compiler's: the kernel takes 2.5 (tanh), 1.7 (elu, selu) and 3
# times (softplus) as long at 128 × 256², float32, on two Zen 4 cores.
FASTER_IN_PYTORCH = {"cpu": ("tanh", "elu", "selu", "softplus")}


def bias_act(
    x: Tensor,
    b: Tensor | None = None,
    act: str = "linear",
    alpha: float | None = None,
    gain: float | None = None,
    clamp: float | None = None,
    dim: int = 1,
    scale: Tensor | None = None,
    noise: Tensor | None = None,
    inplace: bool = False,
) -> Tensor:
    """y = clamp(gain · act(scale · x + noise + b), ±clamp).

    `scale` and `noise` are what a synthesis layer does between its convolution and its activation
    (demodulation, noise): in the same pass they cost no memory traffic of their own.

    Args:
        x: Tensor of any shape.
        b: Bias (x.shape[dim],) or None.
        act: linear, relu, lrelu, tanh, sigmoid, elu, selu, softplus or swish.
        alpha: Negative slope of lrelu. None: 0.2.
        gain: Factor after the activation. None: the activation's own, √2 for relu, lrelu and swish, else 1.
        clamp: Bound on the absolute value of the result, after the gain. None: no bound.
        dim: The dimension of x that b runs along.
        scale: A factor a sample and channel, (N, C), for x (N, C, H, W).
        noise: (H, W) or (1, 1, H, W) or (N, 1, H, W), for x (N, C, H, W).
        inplace: x is needed no more: where no gradient is wanted, the result may take its memory.

    Returns:
        Tensor of the shape and type of x.

    Raises:
        ValueError: Unknown activation, a negative clamp, a bias, scale or noise that does not fit.
    """
    if act not in activations:
        raise ValueError(f"unknown activation {act!r}; choose one of {', '.join(activations)}")
    if b is not None and (b.ndim != 1 or b.shape[0] != x.shape[dim]):
        raise ValueError(
            f"expected a bias of shape ({x.shape[dim]},) for dimension {dim} of {tuple(x.shape)}, "
            f"got {tuple(b.shape)}"
        )
    if clamp is not None and clamp < 0:
        raise ValueError(f"expected clamp ≥ 0 or None, got {clamp}")
    if scale is not None and (x.ndim != 4 or scale.shape != x.shape[:2]):
        raise ValueError(
            f"expected a scale (N, C) for x (N, C, H, W), got {tuple(scale.shape)} for {tuple(x.shape)}"
        )
    if noise is not None and (
        x.ndim != 4 or noise.shape not in (x.shape[2:], (x.shape[0], 1, *x.shape[2:]), (1, 1, *x.shape[2:]))
    ):
        raise ValueError(
            f"expected noise (H, W), (1, 1, H, W) or (N, 1, H, W) for x (N, C, H, W), "
            f"got {tuple(noise.shape)} for {tuple(x.shape)}"
        )
    default = activations[act]
    alpha = default.alpha if alpha is None else alpha
    gain = default.gain if gain is None else gain
    # The kernels know scale and noise together with a bias along the channels only.
    known = (scale is None and noise is None) or b is None or dim % x.ndim == 1
    known = known and act not in FASTER_IN_PYTORCH.get(x.device.type, ())
    if known and kernels.usable(x, b, scale, noise):
        return kernels.bias_act(x, b, act, alpha, gain, clamp, dim, scale, noise, inplace)
    return bias_act_reference(x, b, act, alpha, gain, clamp, dim, scale, noise)


def bias_act_reference(
    x: Tensor,
    b: Tensor | None,
    act: str,
    alpha: float,
    gain: float,
    clamp: float | None,
    dim: int,
    scale: Tensor | None,
    noise: Tensor | None,
) -> Tensor:
    """The definition of `bias_act` in plain PyTorch, arguments checked and complete."""
    if scale is not None:
        x = x * scale.to(x.dtype)[:, :, None, None]
    if noise is not None:
        x = x + noise.to(x.dtype)
    if b is not None:
        x = x + b.to(x.dtype).reshape([-1 if i == dim % x.ndim else 1 for i in range(x.ndim)])
    x = activations[act].function(x, alpha)
    if gain != 1:
        x = x * gain
    if clamp is not None:
        x = x.clamp(-clamp, clamp)
    return x
