"""3×3 convolutions on the CPU by Winograd's minimal filtering, with a quarter of the multiplications.

A linear map takes tiles of pixels and kernels to a domain where a convolution is an element-wise product, and
another map takes the products back (Lavin and Gray 2016, "Fast Algorithms for Convolutional Neural
Networks"). 4×4 outputs then need 36 products instead of 144. With stride 2, they need 81.

`csrc/winograd.cpp` does the computation, in float32 even if the features are bfloat16. Errors in float32 are
one to seven times those of oneDNN, about 1e-6 of the result. In bfloat16 both have the error of rounding the
result.
"""

from __future__ import annotations

import platform
from collections.abc import Sequence

import torch
from torch import Tensor

from . import build

_library = torch.library.Library("stylegan2", "FRAGMENT")
for _schema in (
    "winograd(Tensor x, Tensor w, Tensor(a!) y, int stride, int padding) -> ()",
    "winograd_grad_input(Tensor y, Tensor w, Tensor(a!) x, int stride, int padding) -> ()",
    "winograd_grad_weight(Tensor x, Tensor y, Tensor(a!) parts, int stride, int padding) -> ()",
):
    _library.define(_schema)
_ops = torch.ops.stylegan2

MINIMUM_SIZE = {  # (stride, type): (input and output channels, tiles, tiles · inputs · outputs)
    (1, torch.float32): (16, 4, 2**18),
    (2, torch.float32): (32, 4, 2**20),
    (1, torch.bfloat16): (32, 16, 2**20),
}
"""Below these sizes, PyTorch's convolutions are faster. This was measured on 2 cores with AVX-512."""


def is_faster(stride: int, kernel: Sequence[int], like: Tensor, batch: int, height: int, width: int) -> bool:
    """Return whether Winograd's algorithm supports this convolution and is faster than PyTorch's.

    Args:
        stride: Stride of the convolution.
        kernel: Shape (O, I, 3, 3) of the kernels.
        like: A tensor with the device, the layout and the type of the features.
        batch: Number of samples.
        height: Height of the output. For a transposed convolution it is divided by the stride.
        width: Width of the output, likewise.
    """
    if like.device.type != "cpu" or like.layout != torch.strided or (stride, like.dtype) not in MINIMUM_SIZE:
        return False
    if torch.compiler.is_compiling() or torch.jit.is_tracing() or torch.is_autocast_enabled("cpu"):
        return False
    if like.dtype == torch.bfloat16 and not _slow_in_bfloat16():
        return False
    channels, least_tiles, products = MINIMUM_SIZE[stride, like.dtype]
    tiles, (o, i) = batch * -(-height // 4) * -(-width // 4), kernel[:2]
    large = min(o, i) >= channels and tiles >= least_tiles and tiles * o * i >= products
    return large and build.available("cpu")


def _slow_in_bfloat16() -> bool:
    """Whether the processor lacks the much faster matrix instructions for bfloat16 (AMX, or those of ARM)."""
    return platform.machine() in ("x86_64", "AMD64") and not torch.cpu._is_amx_tile_supported()


def conv2d(x: Tensor, weight: Tensor, stride: int, padding: int, size: Sequence[int]) -> Tensor:
    """Convolve x (N, I, H, W) with weight (O, I, 3, 3) to a result of shape `size` (N, O, H', W')."""
    y = torch.empty(size, dtype=x.dtype, device=x.device, memory_format=torch.channels_last)
    _ops.winograd(_channels_last(x), weight, y, stride, padding)
    return y


def grad_input(y: Tensor, weight: Tensor, stride: int, padding: int, size: Sequence[int]) -> Tensor:
    """Compute the gradient of `conv2d` with respect to x, of shape `size`. It is a transposed convolution."""
    x = torch.empty(size, dtype=y.dtype, device=y.device, memory_format=torch.channels_last)
    _ops.winograd_grad_input(_channels_last(y), weight, x, stride, padding)
    return x


def grad_weight(x: Tensor, y: Tensor, stride: int, padding: int) -> Tensor:
    """Compute the gradient of `conv2d` with respect to the weight, (O, I, 3, 3)."""
    o, i = y.shape[1], x.shape[1]
    panels, tiles = -(-o // 64) * -(-i // 64), y.shape[0] * -(-y.shape[2] // 4) * -(-y.shape[3] // 4)
    # The tiles are divided into enough ranges for many threads. Their number does not depend on the number of
    # threads, so neither does the result.
    ranges = max(1, min(-(-32 // panels), tiles // 48))
    parts = torch.empty(ranges, o, 3, 3, i, dtype=torch.float32, device=x.device)
    _ops.winograd_grad_weight(_channels_last(x), _channels_last(y), parts, stride, padding)
    weight = parts[0] if len(parts) == 1 else parts.sum(dim=0)
    return weight.to(x.dtype).permute(0, 3, 1, 2)


def _channels_last(x: Tensor) -> Tensor:
    return x.contiguous(memory_format=torch.channels_last)
