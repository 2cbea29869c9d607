"""The PyTorch operators of the kernels: their schemas, output shapes for the compiler, and derivatives.

The code in `csrc` does the computation. When a library that `build` made is loaded, it adds its kernels for
the CPU or for CUDA to these operators. `cot` is the gradient with respect to an operator's result
(cotangent).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

DTYPES = (torch.float32, torch.float16, torch.bfloat16, torch.float64)
ACTS = ("linear", "relu", "lrelu", "tanh", "sigmoid", "elu", "selu", "softplus", "swish")
"""Names of the activations, in the order of `enum class Act` in csrc/arithmetic.h."""
PIECEWISE_LINEAR = ACTS[:3]

Gradients = tuple[Tensor | None, ...]
"""One for each argument of an operator. None for what is no tensor, or needs no gradient."""

_library = torch.library.Library("stylegan2", "DEF")
_library.define(
    "upfirdn2d(Tensor x, Tensor? filter, int upx, int upy, int downx, int downy, "
    "SymInt x0, SymInt x1, SymInt y0, SymInt y1, bool flip, float gain) -> Tensor"
)
_library.define(
    "bias_act(Tensor x, Tensor? b, Tensor? scale, Tensor? noise, int act, float alpha, float gain, "
    "float clamp, int dim) -> Tensor"
)
_library.define(
    "bias_act_(Tensor(a!) x, Tensor? b, Tensor? scale, Tensor? noise, int act, float alpha, float gain, "
    "float clamp, int dim) -> ()"
)
# Computes cot times the first (order 1) or second (order 2) derivative of bias_act with respect to its inner
# value scale · x + noise + b. If `from_output`, x is the result of bias_act instead of its input.
_library.define(
    "bias_act_grad(Tensor cot, Tensor x, Tensor? b, Tensor? scale, Tensor? noise, int act, float alpha, "
    "float gain, float clamp, int dim, int order, bool from_output) -> Tensor"
)
# Computes all first derivatives of a bias_act with a piecewise linear activation in one pass.
_library.define(
    "bias_act_backward(Tensor cot, Tensor x, Tensor? b, Tensor? scale, Tensor? noise, int act, float alpha, "
    "float gain, float clamp, bool from_output, Tensor(a!) grad_x, Tensor(b!)? grad_b, "
    "Tensor(c!)? grad_scale, Tensor(d!)? grad_noise) -> ()"
)
_upfirdn2d = torch.ops.stylegan2.upfirdn2d.default
_bias_act = torch.ops.stylegan2.bias_act.default
_bias_act_grad = torch.ops.stylegan2.bias_act_grad.default


def upfirdn2d(
    x: Tensor,
    filter: Tensor | None,
    up: tuple[int, int],
    down: tuple[int, int],
    padding: tuple[int, int, int, int],
    flip_filter: bool,
    gain: float,
) -> Tensor:
    """Compute `stylegan2.ops.upfirdn2d` with a kernel. The arguments have been checked and completed."""
    return _upfirdn2d(x, filter, *up, *down, *padding, flip_filter, gain)


def bias_act(
    x: Tensor,
    b: Tensor | None,
    act: str,
    alpha: float,
    gain: float,
    clamp: float | None,
    dim: int,
    scale: Tensor | None = None,
    noise: Tensor | None = None,
    inplace: bool = False,
) -> Tensor:
    """Compute `dispatch.bias_act` with a kernel, which can overwrite x on the CPU and without gradients."""
    dim = dim % x.ndim if b is not None else min(1, x.ndim - 1) if x.ndim else 0
    args = b, scale, noise, ACTS.index(act), alpha, gain, -1.0 if clamp is None else clamp, dim
    inplace = inplace and x.device.type == "cpu" and not torch.is_grad_enabled()
    if (
        inplace
        and not torch.compiler.is_compiling()
        and (x.is_contiguous() or dim == 1 and is_channels_last(x))
    ):
        torch.ops.stylegan2.bias_act_(x, *args)
        return x
    return _bias_act(x, *args)


# ------------------------------------------------------------------------------------------ output shapes


def is_channels_last(x: Tensor) -> bool:
    return x.ndim == 4 and not x.is_contiguous() and x.is_contiguous(memory_format=torch.channels_last)


def _upfirdn2d_shape(x: Tensor, filter: Tensor | None, *settings: Any) -> Tensor:
    upx, upy, downx, downy, x0, x1, y0, y1, _, _ = settings
    fw, fh = (1, 1) if filter is None else (filter.shape[-1], filter.shape[0])
    n, c, h, w = x.shape
    size = (n, c, (h * upy + y0 + y1 - fh) // downy + 1, (w * upx + x0 + x1 - fw) // downx + 1)
    return (
        x.new_empty(size).to(memory_format=torch.channels_last) if is_channels_last(x) else x.new_empty(size)
    )


def _bias_act_shape(x: Tensor, dim: int) -> Tensor:
    last = dim == 1 and is_channels_last(x)
    return torch.empty_like(x, memory_format=torch.channels_last if last else torch.contiguous_format)


torch.library.register_fake("stylegan2::upfirdn2d", _upfirdn2d_shape)
torch.library.register_fake(
    "stylegan2::bias_act", lambda x, b, scale, noise, act, alpha, gain, clamp, dim: _bias_act_shape(x, dim)
)
torch.library.register_fake(
    "stylegan2::bias_act_grad",
    lambda cot, x, b, scale, noise, act, alpha, gain, clamp, dim, order, from_output: _bias_act_shape(x, dim),
)


# -------------------------------------------------------------------------------------------- derivatives


def _upfirdn2d_setup(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    x, filter, *ctx.settings = inputs
    ctx.save_for_backward(filter)
    ctx.size, ctx.out_size = x.shape[2:], output.shape[2:]


def _upfirdn2d_backward(ctx: Any, cot: Tensor) -> Gradients:
    """Apply the same op with up and down exchanged and the filter reversed."""
    upx, upy, downx, downy, x0, _, y0, _, flip, gain = ctx.settings
    (filter,) = ctx.saved_tensors
    fw, fh = (1, 1) if filter is None else (filter.shape[-1], filter.shape[0])
    (h, w), (oh, ow) = ctx.size, ctx.out_size
    x1, y1 = w * upx - ow * downx + x0 - upx + 1, h * upy - oh * downy + y0 - upy + 1
    around = (fw - 1 - x0, x1, fh - 1 - y0, y1)
    return _upfirdn2d(cot, filter, downx, downy, upx, upy, *around, not flip, gain), *[None] * 11


torch.library.register_autograd("stylegan2::upfirdn2d", _upfirdn2d_backward, setup_context=_upfirdn2d_setup)


def _bias_act_setup(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    x, b, scale, noise, act, alpha, gain, clamp, dim = inputs
    ctx.settings = act, alpha, gain, clamp, dim
    # The slope of a piecewise linear activation can be read off its result. The next layer keeps the result
    # anyway, so x need not be kept. Only the derivative with respect to the scale needs x itself.
    ctx.from_output = ACTS[act] in PIECEWISE_LINEAR and gain > 0 and alpha >= 0
    ctx.from_output = ctx.from_output and not ctx.needs_input_grad[2]
    ctx.save_for_backward(output if ctx.from_output else x, b, scale, noise)


def _bias_act_backward(ctx: Any, cot: Tensor) -> Gradients:
    if any(ctx.needs_input_grad[1:4]) and _can_run_in_one_pass(ctx, cot):
        return *_backward_in_one_pass(ctx, cot), *[None] * 5
    inner = _bias_act_grad(cot, *ctx.saved_tensors, *ctx.settings, 1, ctx.from_output)
    return *_input_gradients(inner, ctx.saved_tensors, ctx.settings[-1], ctx.needs_input_grad), *[None] * 5


torch.library.register_autograd("stylegan2::bias_act", _bias_act_backward, setup_context=_bias_act_setup)


def _can_run_in_one_pass(ctx: Any, cot: Tensor) -> bool:
    """Whether one pass can compute all derivatives. It cannot if they are to be differentiated again."""
    (x, *others), act, dim = ctx.saved_tensors, ctx.settings[0], ctx.settings[-1]
    if torch.is_grad_enabled() or torch.compiler.is_compiling() or x.device.type != "cpu":
        return False
    if torch._C._functorch.is_batchedtensor(cot) or torch._C._functorch.is_legacy_batchedtensor(cot):
        return False
    floats = all(t is None or t.dtype == torch.float32 for t in (cot, x, *others))
    return floats and dim == 1 and ACTS[act] in PIECEWISE_LINEAR and is_channels_last(x)


def _backward_in_one_pass(ctx: Any, cot: Tensor) -> Gradients:
    x, b, scale, noise = ctx.saved_tensors
    cot = cot.contiguous(memory_format=torch.channels_last)
    grads: list[Tensor | None] = [torch.empty_like(x)]
    for t, need in zip((b, scale), ctx.needs_input_grad[1:3]):
        grads.append(torch.empty_like(t, memory_format=torch.contiguous_format) if need else None)
    total = x.new_empty(x.shape[0], 1, *x.shape[2:]) if ctx.needs_input_grad[3] else None
    torch.ops.stylegan2.bias_act_backward(
        cot, x, b, scale, noise, *ctx.settings[:-1], ctx.from_output, *grads, total
    )
    return *grads, None if total is None else _sum_to_noise_shape(total, noise)


def _sum_to_noise_shape(total: Tensor, noise: Tensor) -> Tensor:
    shared = noise.ndim == 2 or noise.shape[0] != total.shape[0]
    return (total.sum(0) if shared else total).reshape(noise.shape)


def _input_gradients(inner: Tensor, inputs: Sequence[Any], dim: int, needed: Sequence[bool]) -> Gradients:
    """Compute the gradients of x, b, scale and noise from that of the inner value scale · x + noise + b."""
    x, b, scale, noise = inputs
    grads: list[Tensor | None] = [None] * 4
    if needed[0]:
        grads[0] = inner if scale is None else inner * scale.to(inner.dtype)[:, :, None, None]
    if needed[1]:
        grads[1] = inner.sum([i for i in range(inner.ndim) if i != dim], dtype=b.dtype)
    if needed[2]:
        grads[2] = (inner * x).sum([2, 3], dtype=scale.dtype)
    if needed[3]:
        grads[3] = _sum_to_noise_shape(inner.sum(1, keepdim=True, dtype=noise.dtype), noise)
    return tuple(grads)


def _bias_act_grad_setup(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    cot, x, b, scale, noise, *ctx.settings, ctx.order, ctx.from_output = inputs
    ctx.save_for_backward(cot, x, b, scale, noise)


def _bias_act_grad_backward(ctx: Any, v: Tensor) -> Gradients:
    cot, x, b, scale, noise = ctx.saved_tensors
    needed = ctx.needs_input_grad
    first = None
    if needed[0]:
        first = _bias_act_grad(v, x, b, scale, noise, *ctx.settings, ctx.order, ctx.from_output)
    if ctx.from_output or ACTS[ctx.settings[0]] in PIECEWISE_LINEAR:
        # The second derivative is zero. Parameters get zero gradients, so that no optimizer skips them. A
        # zero gradient for x would only cost time.
        zeros = [torch.zeros_like(t) if need else None for t, need in zip((b, scale, noise), needed[2:5])]
        return first, None, *zeros, *[None] * 7
    if ctx.order == 2:
        if any(needed[1:5]):
            raise RuntimeError(
                "The kernels do not support third derivatives of bias_act. Set STYLEGAN2_KERNELS=off."
            )
        return first, *[None] * 11
    inner = _bias_act_grad(v * cot, x, b, scale, noise, *ctx.settings, 2, False)
    return first, *_input_gradients(inner, (x, b, scale, noise), ctx.settings[-1], needed[1:5]), *[None] * 7


torch.library.register_autograd(
    "stylegan2::bias_act_grad", _bias_act_grad_backward, setup_context=_bias_act_grad_setup
)
