"""Chooses between the compiled kernels and the PyTorch reference, for each call of an op."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.autograd import forward_ad

from stylegan2 import ops
from stylegan2.ops.bias_act import check_bias_act
from stylegan2.ops.upfirdn2d import check_upfirdn2d

from . import build, library

_BUILT_IN = dict(ops.activations)  # the kernels do not know a user's own activation, even under the same name

# PyTorch's vectorized exponentials are faster than those of the compiler. For 128 channels of 256² in float32
# on two Zen 4 cores, the kernel takes 2.5 times (tanh), 1.7 times (elu, selu) and 3 times (softplus) as long.
_FASTER_IN_PYTORCH = {"cpu": ("tanh", "elu", "selu", "softplus")}


def usable(x: Tensor, *others: Tensor | None) -> bool:
    """Return whether the kernels can process these tensors. This builds the kernels if necessary.

    An exported or traced program gets the definitions instead, so that it runs without this package. So do
    `torch.func` and forward-mode differentiation, for which the kernels have no rules.
    """
    if torch.compiler.is_exporting() or torch.jit.is_tracing():
        return False
    if any(other is not None and is_transformed(other) for other in (x, *others)):
        return False
    if x.dtype not in library.DTYPES or x.layout != torch.strided:
        return False
    for other in others:
        if other is not None and (other.dtype not in library.DTYPES or other.device != x.device):
            return False
    return build.available(x.device.type)


def is_transformed(x: Tensor) -> bool:
    """Whether x is inside a transform of `torch.func`, or has a tangent of forward-mode differentiation."""
    if torch.compiler.is_compiling():
        return False
    return torch._C._functorch.is_functorch_wrapped_tensor(x) or forward_ad.unpack_dual(x).tangent is not None


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
    # The kernels do not compute the derivative with respect to the filter.
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
    """`stylegan2.ops.bias_act` with scale and noise: y = clamp(gain · act(scale · x + noise + b), ±clamp).

    A synthesis layer demodulates with the scale and adds the noise between its convolution and its
    activation. One pass over memory does all of it.

    Args:
        x: Tensor of any shape.
        b: Bias, as in `stylegan2.ops.bias_act`. So are the next five arguments.
        act: Name of the activation.
        alpha: Slope of the activation for negative values.
        gain: Factor on the activation's result.
        clamp: Bound on the absolute value of the result.
        dim: The dimension of x that b belongs to.
        scale: Factor for each sample and channel, (N, C), for x (N, C, H, W).
        noise: (H, W), (1, 1, H, W) or (N, 1, H, W), for x (N, C, H, W).
        inplace: Whether the result may overwrite x. This happens only where no gradient is needed.

    Returns:
        A tensor with the shape and type of x.

    Raises:
        ValueError: `stylegan2.ops.bias_act` raises it, or the shape of scale or noise does not fit.
    """
    alpha, gain = check_bias_act(x, b, act, alpha, gain, clamp, dim)
    if scale is not None and (x.ndim != 4 or scale.shape != x.shape[:2]):
        raise ValueError(
            f"expected a scale (N, C) for x (N, C, H, W), got shape {tuple(scale.shape)} for x "
            f"{tuple(x.shape)}"
        )
    if noise is not None and (
        x.ndim != 4 or noise.shape not in (x.shape[2:], (x.shape[0], 1, *x.shape[2:]), (1, 1, *x.shape[2:]))
    ):
        raise ValueError(
            f"expected noise (H, W), (1, 1, H, W) or (N, 1, H, W) for x (N, C, H, W), "
            f"got shape {tuple(noise.shape)} for x {tuple(x.shape)}"
        )
    # The kernels support scale and noise only if there is no bias or the bias belongs to the channels.
    known = _has_kernel(act, x) and ((scale is None and noise is None) or b is None or dim % x.ndim == 1)
    if known and usable(x, b, scale, noise):
        return library.bias_act(x, b, act, alpha, gain, clamp, dim, scale, noise, inplace)
    if scale is not None:
        x = x * scale.to(x.dtype)[:, :, None, None]
    if noise is not None:
        x = x + noise.to(x.dtype)
    return ops.bias_act.__wrapped__(x, b, act, alpha, gain, clamp, dim)


def _has_kernel(act: str, x: Tensor) -> bool:
    if act not in library.ACTS or ops.activations[act] is not _BUILT_IN[act]:
        return False
    return act not in _FASTER_IN_PYTORCH.get(x.device.type, ())
