"""Zero-insertion, padding, FIR filtering and decimation of images in one operation."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from .autocast import outside_autocast
from .replaceable import replaceable


def setup_filter(
    taps: Sequence[float] | Sequence[Sequence[float]] | Tensor | None,
    *,
    normalize: bool = True,
    flip_filter: bool = False,
    gain: float = 1.0,
    separable: bool | None = None,
    device: torch.device | str | None = None,
    dtype: torch.dtype | None = None,
) -> Tensor:
    """Make a filter for `upfirdn2d` from its taps.

    Args:
        taps: The coefficients, 1-D or 2-D. None gives the identity.
        normalize: Divide by the sum, so that a constant image keeps its value (DC gain 1).
        flip_filter: Reverse the filter in every direction.
        gain: Gain of the whole filter. A separable filter is applied twice, so its taps get the square root.
        separable: True keeps 1-D taps as they are. False takes their outer product. None keeps them from 8
            taps on.
        device: Device of the filter. None is the default device.
        dtype: Type of the filter. None is PyTorch's default type.

    Returns:
        A filter of shape (taps,) if separable, otherwise (height, width).

    Raises:
        ValueError: The taps are empty or have more than two dimensions, or a separable filter has a negative gain.
    """
    f = torch.as_tensor([1.0] if taps is None else taps, device=device, dtype=torch.float64)
    if f.ndim not in (1, 2) or f.numel() == 0:
        raise ValueError(f"expected a 1-D or 2-D filter with at least one tap, got shape {tuple(f.shape)}")
    if separable is None:
        separable = f.ndim == 1 and f.numel() >= 8
    if f.ndim == 1 and not separable:
        f = f.outer(f)
    if normalize:
        f = f / f.sum()
    if flip_filter:
        f = f.flip(list(range(f.ndim)))
    if f.ndim == 1 and gain < 0:
        raise ValueError(
            f"expected a gain of 0 or more for a separable filter, which is applied twice, got {gain}. Give the gain "
            "to upfirdn2d."
        )
    factor: float = gain ** (f.ndim / 2)
    return (f * factor).to(dtype or torch.get_default_dtype())


def _pair(value: int | Sequence[int]) -> tuple[int, int]:
    x, y = (value, value) if isinstance(value, int) else value
    if x < 1 or y < 1:
        raise ValueError(f"expected a positive up- or down-sampling factor or (x, y) pair, got {value}")
    return x, y


def parse_padding(padding: int | Sequence[int]) -> tuple[int, int, int, int]:
    """Bring padding given as one number, (x, y) or (x0, x1, y0, y1) to (left, right, top, bottom)."""
    if isinstance(padding, int):
        return padding, padding, padding, padding
    if len(padding) == 2:
        return padding[0], padding[0], padding[1], padding[1]
    if len(padding) == 4:
        left, right, top, bottom = padding
        return left, right, top, bottom
    raise ValueError(f"expected padding as a number, (x, y) or (x0, x1, y0, y1), got {padding}")


def filter_size(filter: Tensor | None) -> tuple[int, int]:
    """Return (width, height) of a 1-D (separable) or 2-D filter, and (1, 1) for None."""
    if filter is None:
        return 1, 1
    return filter.shape[-1], filter.shape[0]


def insertion_padding(filter: Tensor | None, up_x: int, up_y: int) -> tuple[int, int, int, int]:
    """The padding (x0, x1, y0, y1) that keeps an image centered through zero insertion and filtering."""
    fw, fh = filter_size(filter)
    return (fw + up_x - 1) // 2, (fw - up_x) // 2, (fh + up_y - 1) // 2, (fh - up_y) // 2


def decimation_padding(filter: Tensor | None, down_x: int, down_y: int) -> tuple[int, int, int, int]:
    """The padding (x0, x1, y0, y1) that keeps an image centered through filtering and decimation."""
    fw, fh = filter_size(filter)
    return (fw - down_x + 1) // 2, (fw - down_x) // 2, (fh - down_y + 1) // 2, (fh - down_y) // 2


def mean_gain(up_x: int, up_y: int) -> int:
    """The gain that restores the mean after zero insertion, where one pixel in up_x·up_y is not zero."""
    return up_x * up_y


@replaceable
@outside_autocast
def upfirdn2d(
    x: Tensor,
    filter: Tensor | None,
    up: int | Sequence[int] = 1,
    down: int | Sequence[int] = 1,
    padding: int | Sequence[int] = 0,
    flip_filter: bool = False,
    gain: float = 1.0,
) -> Tensor:
    """Up-sample, FIR-filter and down-sample a batch of images, each channel separately.

    It takes five steps. (1) Insert up-1 zeros after every pixel, along both axes. (2) Pad with zeros, or crop
    where the padding is negative. (3) Filter without further padding. (4) Keep every down-th pixel, beginning
    with the first. (5) Multiply by the gain.

    Args:
        x: Images (N, C, H, W) of any floating type.
        filter: Filter of shape (height, width), or (taps,) for a separable one, which stands for the outer
            product with itself. None is the identity.
        up: Up-sampling factor, or factors (x, y).
        down: Down-sampling factor, or factors (x, y).
        padding: One number, (x, y) or (x0, x1, y0, y1), counted in pixels of the up-sampled image.
        flip_filter: False is true convolution, True is correlation.
        gain: Factor on the result.

    Returns:
        Images (N, C, H', W') in the type of x, with W' = (W·up_x + x0 + x1 - width) // down_x + 1. The same
        holds for H'.

    Raises:
        ValueError: x is not a batch of images, the filter does not have one or two dimensions, a factor is
            less than 1, or no pixel is left.
    """
    (upx, upy), (downx, downy), (x0, x1, y0, y1) = check_upfirdn2d(x, filter, up, down, padding)
    n, c, h, w = x.shape
    if upx > 1 or upy > 1:
        x = x.reshape(n, c, h, 1, w, 1)
        x = F.pad(x, [0, upx - 1, 0, 0, 0, upy - 1]).reshape(n, c, h * upy, w * upx)
    x = F.pad(x, [x0, x1, y0, y1])

    if filter is None:
        return x[:, :, ::downy, ::downx] * gain
    f = filter.to(x.dtype) if flip_filter else filter.to(x.dtype).flip(list(range(filter.ndim)))
    if f.ndim == 2:
        return F.conv2d(x, (f * gain).expand(c, 1, -1, -1), stride=(downy, downx), groups=c)
    root = abs(gain) ** 0.5  # half of the gain along each axis, and its sign once
    horizontal, vertical = f * math.copysign(root, gain), f * root
    x = F.conv2d(x, horizontal[None, :].expand(c, 1, 1, -1), stride=(1, downx), groups=c)
    return F.conv2d(x, vertical[:, None].expand(c, 1, -1, 1), stride=(downy, 1), groups=c)


def check_upfirdn2d(
    x: Tensor,
    filter: Tensor | None,
    up: int | Sequence[int],
    down: int | Sequence[int],
    padding: int | Sequence[int],
) -> tuple[tuple[int, int], tuple[int, int], tuple[int, int, int, int]]:
    """Check the arguments of `upfirdn2d`, and return up, down and padding by axis. Raises ValueError."""
    if x.ndim != 4:
        raise ValueError(f"expected images (N, C, H, W), got shape {tuple(x.shape)}")
    if filter is not None and filter.ndim not in (1, 2):
        raise ValueError(f"expected a 1-D or 2-D filter or None, got shape {tuple(filter.shape)}")
    up, down, padding = _pair(up), _pair(down), parse_padding(padding)
    (fw, fh), (h, w) = filter_size(filter), x.shape[2:]
    width, height = w * up[0] + padding[0] + padding[1], h * up[1] + padding[2] + padding[3]
    if width < fw or height < fh:
        raise ValueError(
            f"no pixel is left: expected a padded image at least as large as the filter ({fw}×{fh}, width×"
            f"height), got {width}×{height}. Pad more or crop less."
        )
    return up, down, padding


def filter2d(
    x: Tensor,
    filter: Tensor | None,
    padding: int | Sequence[int] = 0,
    flip_filter: bool = False,
    gain: float = 1.0,
) -> Tensor:
    """Filter images (N, C, H, W) and keep their size. `padding` is added to the padding that does so."""
    around = add_padding(parse_padding(padding), insertion_padding(filter, 1, 1))
    return upfirdn2d(x, filter, padding=around, flip_filter=flip_filter, gain=gain)


def upsample2d(
    x: Tensor,
    filter: Tensor | None,
    up: int | Sequence[int] = 2,
    padding: int | Sequence[int] = 0,
    flip_filter: bool = False,
    gain: float = 1.0,
) -> Tensor:
    """Up-sample (N, C, H, W) to (N, C, H·up, W·up) by zero insertion and a filter. The mean is kept."""
    up = _pair(up)
    around = add_padding(parse_padding(padding), insertion_padding(filter, *up))
    return upfirdn2d(x, filter, up=up, padding=around, flip_filter=flip_filter, gain=gain * mean_gain(*up))


def downsample2d(
    x: Tensor,
    filter: Tensor | None,
    down: int | Sequence[int] = 2,
    padding: int | Sequence[int] = 0,
    flip_filter: bool = False,
    gain: float = 1.0,
) -> Tensor:
    """Down-sample (N, C, H, W) to (N, C, H/down, W/down) by a filter and decimation."""
    down = _pair(down)
    around = add_padding(parse_padding(padding), decimation_padding(filter, *down))
    return upfirdn2d(x, filter, down=down, padding=around, flip_filter=flip_filter, gain=gain)


def add_padding(a: Sequence[int], b: Sequence[int]) -> tuple[int, int, int, int]:
    """The sum of two paddings (x0, x1, y0, y1)."""
    left, right, top, bottom = (x + y for x, y in zip(a, b))
    return left, right, top, bottom
