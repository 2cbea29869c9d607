"""Convolutions whose derivatives of any order are plain convolutions again.

PyTorch's own second derivative by the weight, which R1 and the path length take, is a convolution with
images for kernels, several times slower than what it stands for. With T(x, w, y) = Σ y · conv(x, w), which is
linear in each, a convolution and its two derivatives are the derivatives of T by one of the three, and so are
all of theirs.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from . import kernels, winograd


def conv2d(
    x: Tensor, weight: Tensor, stride: int = 1, padding: tuple[int, int] = (0, 0), groups: int = 1
) -> Tensor:
    """x (N, I, H, W), weight (O, I / groups, kh, kw) -> (N, O, H', W'): `torch.nn.functional.conv2d`."""
    return _apply(_Convolution(stride, padding, groups, False), x, weight)


def conv_transpose2d(x: Tensor, weight: Tensor, stride: int = 1, groups: int = 1) -> Tensor:
    """x (N, I, H, W), weight (I, O / groups, kh, kw) -> (N, O, H', W'): torch's function of that name."""
    return _apply(_Convolution(stride, (0, 0), groups, True), x, weight)


@dataclass(frozen=True)
class _Convolution:
    stride: int
    padding: tuple[int, int]
    groups: int
    transposed: bool

    def y(self, x: Tensor, w: Tensor) -> Tensor:
        """The convolution itself."""
        if self.transposed:
            return F.conv_transpose2d(x, w, stride=self.stride, groups=self.groups)
        (py, px), (kh, kw) = self.padding, w.shape[2:]
        out = x.shape[2] + 2 * py - kh + 1, x.shape[3] + 2 * px - kw + 1
        fits = (
            x.ndim == 4 and x.shape[1] == w.shape[1] and x.dtype == w.dtype
        )  # else PyTorch says what is wrong
        if fits and self._by_winograd(w.shape, x, len(x), *out):
            return winograd.conv2d(x, w, py)
        return F.conv2d(x, w, stride=self.stride, padding=self.padding, groups=self.groups)

    def x(self, w: Tensor, y: Tensor, size: torch.Size) -> Tensor:
        """Derivative by x, of this size."""
        if self._by_winograd(w.shape, y, *size[::2], size[3]):
            return winograd.grad_input(y, w, self.padding[0])
        return self._backward(y, _empty(y, size), w, (True, False, False))[0]

    def w(self, x: Tensor, y: Tensor, size: torch.Size) -> Tensor:
        """Derivative by w, of this size."""
        if self._by_winograd(size, x, len(y), *y.shape[2:]):
            return winograd.grad_weight(x, y, self.padding[0])
        return self._backward(y, x, _empty(x, size), (False, True, False))[1]

    def _by_winograd(self, kernel: torch.Size, like: Tensor, *out: int) -> bool:
        plain = self.stride == self.groups == 1 and not self.transposed and self.padding[0] == self.padding[1]
        return plain and kernel[2:] == (3, 3) and winograd.pays(kernel, like, *out)

    def _backward(
        self, y: Tensor, x: Tensor, w: Tensor, wanted: tuple[bool, bool, bool]
    ) -> tuple[Tensor, ...]:
        stride, dilation, extra = [self.stride] * 2, [1, 1], [0, 0]
        return torch.ops.aten.convolution_backward(
            y, x, w, None, stride, self.padding, dilation, self.transposed, extra, self.groups, wanted
        )


def _empty(like: Tensor, size: torch.Size) -> Tensor:
    """Stands for a tensor whose values a derivative does not read, in the memory format it is to have."""
    form = torch.channels_last if kernels.is_channels_last(like) else torch.contiguous_format
    return torch.empty(size, dtype=like.dtype, device=like.device, memory_format=form)


_OTHERS = {"y": "xw", "x": "wy", "w": "xy"}
"""What each derivative of T takes, in order."""


class _Derivative(torch.autograd.Function):
    """T's derivative by one of x, w and y; the other two are its inputs."""

    @staticmethod
    def forward(ctx, conv: _Convolution, by: str, size: tuple[torch.Size, ...], *others: Tensor) -> Tensor:
        ctx.conv, ctx.by = conv, by
        ctx.save_for_backward(*others)
        return getattr(conv, by)(*others, *size)

    @staticmethod
    def backward(ctx, cot: Tensor):
        have = dict(zip(_OTHERS[ctx.by], ctx.saved_tensors), **{ctx.by: cot})
        grads = []
        for by, needed in zip(_OTHERS[ctx.by], ctx.needs_input_grad[3:]):
            others = [have[name] for name in _OTHERS[by]]
            size = () if by == "y" else (have[by].shape,)
            grads.append(_Derivative.apply(ctx.conv, by, size, *others) if needed else None)
        return None, None, None, *grads


def _apply(conv: _Convolution, x: Tensor, weight: Tensor) -> Tensor:
    own = torch.is_grad_enabled() and (x.requires_grad or weight.requires_grad)
    own = own and not torch.compiler.is_compiling() and not torch.is_autocast_enabled(x.device.type)
    if own and kernels.usable(x, weight):
        return _Derivative.apply(conv, "y", (), x, weight)
    return conv.y(x, weight)
