"""Which calls of the ops go to the compiled kernels: those they know, on a device they were built for."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from stylegan2 import ops
from stylegan2.ops.bias_act import check_bias_act
from stylegan2.ops.upfirdn2d import check_upfirdn2d

from . import build, library

_BUILT_IN = dict(ops.activations)  # a user's own activation, under whatever name, is none of the kernels'

# PyTorch's vectorized exponentials beat the compiler's: the kernel takes 2.5 (tanh), 1.7 (elu, selu) and 3
# times (softplus) as long at 128 × 256², float32, on two Zen 4 cores.
_FASTER_IN_PYTORCH = {"cpu": ("tanh", "elu", "selu", "softplus")}


def usable(x: Tensor, *others: Tensor | None) -> bool:
    """Whether the kernels take these tensors; asking builds them if it must.

    A program that is exported or traced holds the definitions, so that it runs where our kernels are not.
    """
    if torch.compiler.is_exporting() or torch.jit.is_tracing():
        return False
    if x.dtype not in library.DTYPES or x.layout != torch.strided:
        return False
    for other in others:
        if other is not None and (other.dtype not in library.DTYPES or other.device != x.device):
            return False
    return build.available(x.device.type)


def upfirdn2d(
    x: Tensor,
    filter: Tensor | None,
    up: int | Sequence[int] = 1,
    down: int | Sequence[int] = 1,
    padding: int | Sequence[int] = 0,
    flip_filter: bool = False,
    gain: float = 1.0,
) -> Tensor:
    """`stylegan2.ops.upfirdn2d`."""
    up, down, padding = check_upfirdn2d(x, filter, up, down, padding)
    # No kernel gives the derivative with respect to the filter.
    fixed = filter is None or not (filter.requires_grad and torch.is_grad_enabled())
    if fixed and usable(x, filter):
        return library.upfirdn2d(x, filter, up, down, padding, flip_filter, gain)
    return ops.upfirdn2d.__wrapped__(x, filter, up, down, padding, flip_filter, gain)


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
    """`stylegan2.ops.bias_act`, and with scale and noise: clamp(gain · act(scale · x + noise + b), ±clamp).

    Scale and noise are what a synthesis layer does between its convolution and its activation: in the same
    pass they cost no memory traffic of their own.

    Args:
        x: Tensor of any shape.
        b: As `stylegan2.ops.bias_act` takes it, as the next five.
        act: A name.
        alpha: Slope.
        gain: Factor.
        clamp: Bound.
        dim: The dimension of x that b runs along.
        scale: A factor for each sample and channel, (N, C), for x (N, C, H, W).
        noise: (H, W), (1, 1, H, W) or (N, 1, H, W), for x (N, C, H, W).
        inplace: x is not needed afterwards: where no gradient is wanted, the result may take its memory.

    Raises:
        ValueError: As `stylegan2.ops.bias_act`, or a scale or noise that does not fit.
    """
    alpha, gain = check_bias_act(x, b, act, alpha, gain, clamp, dim)
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
    # The kernels know scale and noise together with a bias along the channels only.
    known = _knows(act, x) and ((scale is None and noise is None) or b is None or dim % x.ndim == 1)
    if known and usable(x, b, scale, noise):
        return library.bias_act(x, b, act, alpha, gain, clamp, dim, scale, noise, inplace)
    if scale is not None:
        x = x * scale.to(x.dtype)[:, :, None, None]
    if noise is not None:
        x = x + noise.to(x.dtype)
    return ops.bias_act.__wrapped__(x, b, act, alpha, gain, clamp, dim)


def _knows(act: str, x: Tensor) -> bool:
    if act not in library.ACTS or ops.activations[act] is not _BUILT_IN[act]:
        return False
    return act not in _FASTER_IN_PYTORCH.get(x.device.type, ())
