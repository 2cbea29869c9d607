"""Convolutions whose derivatives of any order are ordinary convolutions and their first derivatives.

R1 and the path length penalty need second derivatives. PyTorch computes the one with respect to the weight as
a convolution whose kernels are as large as images, which is several times slower than necessary.

This module uses T(x, w, y) = Σ y · conv(x, w), which is linear in each of x, w and y. The convolution is the
derivative of T with respect to y, and its two first derivatives are those with respect to x and w. Each of
these three functions is linear in both of its arguments, and its derivatives are the other two functions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from . import winograd
from .dispatch import is_transformed, usable
from .library import is_channels_last


def conv2d(
    x: Tensor, weight: Tensor, stride: int = 1, padding: tuple[int, int] = (0, 0), groups: int = 1
) -> Tensor:
    """`stylegan2.ops.conv2d`: x (N, I, H, W), weight (O, I / groups, kh, kw) -> (N, O, H', W')."""
    return _apply(_Convolution(stride, padding, groups, False), x, weight)


def conv_transpose2d(x: Tensor, weight: Tensor, stride: int = 1, groups: int = 1) -> Tensor:
    """`stylegan2.ops.conv_transpose2d`: x (N, I, H, W), weight (I, O / groups, kh, kw) -> (N, O, H', W')."""
    return _apply(_Convolution(stride, (0, 0), groups, True), x, weight)


@dataclass(frozen=True)
class _Convolution:
    stride: int
    padding: tuple[int, int]
    groups: int
    transposed: bool

    def y(self, x: Tensor, w: Tensor) -> Tensor:
        """The convolution itself, which is the derivative of T with respect to y."""
        fits = x.ndim == 4 and x.shape[1] == w.shape[not self.transposed] and x.dtype == w.dtype
        if fits:  # otherwise PyTorch raises the error
            size = self._size(x.shape, w.shape)
            if self._use_winograd(w.shape, x, size):
                function = winograd.grad_input if self.transposed else winograd.conv2d
                return function(x, w, self.stride, self.padding[0], size)
        return self.by_pytorch(x, w)

    def by_pytorch(self, x: Tensor, w: Tensor) -> Tensor:
        if self.transposed:
            return F.conv_transpose2d(x, w, stride=self.stride, groups=self.groups)
        return F.conv2d(x, w, stride=self.stride, padding=self.padding, groups=self.groups)

    def x(self, w: Tensor, y: Tensor, size: torch.Size) -> Tensor:
        """The derivative of T with respect to x, with this size."""
        if self._use_winograd(w.shape, y, y.shape):
            function = winograd.conv2d if self.transposed else winograd.grad_input
            return function(y, w, self.stride, self.padding[0], size)
        return self._backward(y, _empty(y, size), w, (True, False, False))[0]

    def w(self, x: Tensor, y: Tensor, size: torch.Size) -> Tensor:
        """The derivative of T with respect to w, with this size."""
        if self._use_winograd(size, x, y.shape):
            large, small = (y, x) if self.transposed else (x, y)
            return winograd.grad_weight(large, small, self.stride, self.padding[0])
        return self._backward(y, x, _empty(x, size), (False, True, False))[1]

    def _size(self, x: torch.Size, w: torch.Size) -> tuple[int, ...]:
        """The shape of the result. It holds for one group."""
        if self.transposed:
            return x[0], w[1], *((n - 1) * self.stride + k for n, k in zip(x[2:], w[2:]))
        return (
            x[0],
            w[0],
            *((n + 2 * p - k) // self.stride + 1 for n, p, k in zip(x[2:], self.padding, w[2:])),
        )

    def _use_winograd(self, kernel: torch.Size, like: Tensor, out: Sequence[int]) -> bool:
        """Whether to use Winograd's algorithm for features of the type of `like` and results of shape `out`."""
        padding, strides = self.padding[0], (2,) if self.transposed else (1, 2)
        plain = self.groups == 1 and self.stride in strides and self.padding == (padding, padding)
        if not plain or kernel[2:] != (3, 3) or (self.stride == 2 and padding):
            return False
        height, width = (n // self.stride if self.transposed else n for n in out[2:])
        return winograd.is_faster(self.stride, kernel, like, out[0], height, width)

    def _backward(
        self, y: Tensor, x: Tensor, w: Tensor, wanted: tuple[bool, bool, bool]
    ) -> tuple[Tensor, ...]:
        stride, dilation, extra = [self.stride] * 2, [1, 1], [0, 0]
        return torch.ops.aten.convolution_backward(
            y, x, w, None, stride, self.padding, dilation, self.transposed, extra, self.groups, wanted
        )


def _empty(like: Tensor, size: torch.Size) -> Tensor:
    """Make a placeholder for a tensor of which a derivative reads only the shape and the memory format."""
    form = torch.channels_last if is_channels_last(like) else torch.contiguous_format
    return torch.empty(size, dtype=like.dtype, device=like.device, memory_format=form)


_OTHERS = {"y": "xw", "x": "wy", "w": "xy"}
"""For each derivative of T, by its variable: the names of its arguments, in order."""


class _Derivative(torch.autograd.Function):
    """The derivative of T with respect to one of x, w and y, as a function of the other two."""

    @staticmethod
    def forward(
        ctx: Any, conv: _Convolution, by: str, size: tuple[torch.Size, ...], *others: Tensor
    ) -> Tensor:
        ctx.conv, ctx.by = conv, by
        ctx.save_for_backward(*others)
        return getattr(conv, by)(*others, *size)

    @staticmethod
    def backward(ctx: Any, cot: Tensor) -> tuple[Tensor | None, ...]:
        have = dict(zip(_OTHERS[ctx.by], ctx.saved_tensors), **{ctx.by: cot})
        grads = []
        for by, needed in zip(_OTHERS[ctx.by], ctx.needs_input_grad[3:]):
            others = [have[name] for name in _OTHERS[by]]
            size = () if by == "y" else (have[by].shape,)
            grads.append(_Derivative.apply(ctx.conv, by, size, *others) if needed else None)
        return None, None, None, *grads


def _apply(conv: _Convolution, x: Tensor, weight: Tensor) -> Tensor:
    if is_transformed(x) or is_transformed(weight):
        return conv.by_pytorch(x, weight)
    if x.ndim == 4 and conv.groups == 1:  # channels last is faster on CPUs, and on GPUs in low precision
        x = x.contiguous(memory_format=torch.channels_last)
    own = torch.is_grad_enabled() and (x.requires_grad or weight.requires_grad)
    own = own and not torch.compiler.is_compiling() and not torch.is_autocast_enabled(x.device.type)
    if own and usable(x, weight):
        return _Derivative.apply(conv, "y", (), x, weight)
    return conv.y(x, weight)
