"""Winograd's 3×3 convolution F(4×4, 3×3) on the CPU in float32: a quarter of the multiplications.

Tiles of 6×6 pixels are mapped to 36 numbers a channel, multiplied there by as many of each kernel, and mapped
back to 4×4 pixels (Lavin and Gray 2016, "Fast Algorithms for Convolutional Neural Networks"). The maps are
`csrc/winograd.cpp`, the products PyTorch's batched ones. Errors are one to five times oneDNN's, about 1e-6 of
the result.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from . import build
from .once import once

MIN_CHANNELS, MIN_TILES, MIN_PRODUCTS = 64, 48, 2**22
"""Channels in and out, tiles, and the product of all three. Below, the maps cost more than the products
saved: measured on 2 cores with AVX-512."""

CHUNK = 512
"""Tiles at a time: their 36 numbers a channel stay in the cache."""

_library = torch.library.Library("stylegan2", "FRAGMENT")
for _schema in (
    "winograd_input(Tensor x, Tensor(a!) v, int first, int padding, int down, int across) -> ()",
    "winograd_output(Tensor m, Tensor(a!) y, int first, int down, int across) -> ()",
    "winograd_output_adjoint(Tensor y, Tensor(a!) m, int first, int down, int across) -> ()",
    "winograd_weight(Tensor w, Tensor(a!) u, bool flip) -> ()",
    "winograd_weight_adjoint(Tensor u, Tensor(a!) w) -> ()",
):
    _library.define(_schema)
_ops = torch.ops.stylegan2


def pays(kernel: Sequence[int], like: Tensor, batch: int, height: int, width: int) -> bool:
    """Whether it convolves tensors like this to outputs of this size, and is the faster way to."""
    if like.dtype != torch.float32 or like.device.type != "cpu":
        return False
    if torch.compiler.is_compiling() or torch.is_autocast_enabled("cpu"):
        return False
    tiles, (o, i) = batch * _tiles(height) * _tiles(width), kernel[:2]
    large = min(o, i) >= MIN_CHANNELS and tiles >= MIN_TILES and tiles * o * i >= MIN_PRODUCTS
    return large and build.available("cpu")


def conv2d(x: Tensor, weight: Tensor, padding: int) -> Tensor:
    """x (N, I, H, W), weight (O, I, 3, 3) -> (N, O, H + 2·padding - 2, W + 2·padding - 2)."""
    return _convolve(x, once(_weight, weight, False).transpose(1, 2), padding)


def grad_input(y: Tensor, weight: Tensor, padding: int) -> Tensor:
    """`conv2d`'s derivative by x, as a convolution of y with the kernels turned by 180°."""
    return _convolve(y, _weight(weight, True), 2 - padding)


def grad_weight(x: Tensor, y: Tensor, padding: int) -> Tensor:
    """`conv2d`'s derivative by the weight, (O, I, 3, 3)."""
    x, y = _channels_last(x), _channels_last(y)
    down, across = _tiles(y.shape[2]), _tiles(y.shape[3])
    u = x.new_zeros(36, y.shape[1], x.shape[1])
    for first, count in _chunks(len(x) * down * across):
        v, m = x.new_empty(36, count, x.shape[1]), x.new_empty(36, count, y.shape[1])
        _ops.winograd_input(x, v, first, padding, down, across)
        _ops.winograd_output_adjoint(y, m, first, down, across)
        torch.baddbmm(u, m.transpose(1, 2), v, out=u)
    weight = _channels_last(x.new_empty(u.shape[1], u.shape[2], 3, 3))
    _ops.winograd_weight_adjoint(u, weight)
    return weight


def _convolve(x: Tensor, u: Tensor, padding: int) -> Tensor:
    """x (N, I, H, W) by transformed kernels u (36, I, O)."""
    x = _channels_last(x)
    n, _, h, w = x.shape
    size = n, u.shape[2], h + 2 * padding - 2, w + 2 * padding - 2
    y = torch.empty(size, dtype=x.dtype, memory_format=torch.channels_last)
    down, across = _tiles(size[2]), _tiles(size[3])
    for first, count in _chunks(n * down * across):
        v = x.new_empty(36, count, x.shape[1])
        _ops.winograd_input(x, v, first, padding, down, across)
        _ops.winograd_output(torch.bmm(v, u), y, first, down, across)
    return y


def _weight(weight: Tensor, flip: bool) -> Tensor:
    """(O, I, 3, 3) -> (36, O, I)."""
    u = weight.new_empty(36, *weight.shape[:2])
    _ops.winograd_weight(_channels_last(weight), u, flip)
    return u


def _channels_last(x: Tensor) -> Tensor:
    return x.contiguous(memory_format=torch.channels_last)


def _tiles(pixels: int) -> int:
    return -(-pixels // 4)


def _chunks(tiles: int) -> Iterator[tuple[int, int]]:
    for first in range(0, tiles, CHUNK):
        yield first, min(CHUNK, tiles - first)
