"""Convolution with up- or down-sampling: the low-pass filter goes where it costs least."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor

from .replaceable import replaceable
from .upfirdn2d import add_padding, decimation_padding, insertion_padding, mean_gain, parse_padding, upfirdn2d


def conv2d_resample(
    x: Tensor,
    weight: Tensor,
    filter: Tensor | None = None,
    up: int = 1,
    down: int = 1,
    padding: int | Sequence[int] = 0,
    groups: int = 1,
    flip_weight: bool = True,
    flip_filter: bool = False,
    gain: float = 1.0,
) -> Tensor:
    """Up-sample (zeros, low-pass filter, gain up²), convolve, low-pass filter and decimate.

    Args:
        x: (N, I, H, W).
        weight: (O, I / groups, height, width).
        filter: Low-pass filter as `upfirdn2d` takes it. None: none.
        up: Up-sampling factor.
        down: Down-sampling factor.
        padding: One number, (x, y) or (x0, x1, y0, y1), counted in pixels of the up-sampled image. What the
            low-pass filter needs to keep the image centered is added to it. All padding is at the start.
        groups: Groups of channels, as in `torch.nn.functional.conv2d`.
        flip_weight: True is correlation (torch's convention), False is true convolution.
        flip_filter: True applies the low-pass filter as it stands, False reversed (true convolution).
        gain: Factor on the result.

    Returns:
        (N, O, H', W'); with `padding` half the kernel, H' = H·up/down.
    """
    kh, kw = weight.shape[2:]
    around = parse_padding(padding)
    if up > 1:
        around = add_padding(around, insertion_padding(filter, up, up))
    if down > 1:
        around = add_padding(around, decimation_padding(filter, down, down))
    x0, x1, y0, y1 = around
    transposes = up > 1 and kh * kw > 1  # which reverses the kernel
    if flip_weight == transposes and kh * kw > 1:
        weight = weight.flip([2, 3])

    if up == 1 and down == 1:
        if gain != 1:
            weight = weight * gain
        if x0 == x1 and y0 == y1 and min(x0, y0) >= 0:
            return conv2d(x, weight, padding=(y0, x0), groups=groups)
        return conv2d(F.pad(x, [x0, x1, y0, y1]), weight, groups=groups)

    if up > 1:
        gain = gain * mean_gain(up, up)
        if not transposes:  # Fewer pixels before the filter than after it.
            x = conv2d(x, weight, groups=groups)
            x = upfirdn2d(x, filter, up, 1, around, flip_filter, gain)
        else:
            # Filter and kernel commute, so the kernel can meet the zeros first, as a transposed convolution
            # that skips them. It pads by its own size and ends up-1 zeros early: the filter corrects both.
            x = conv_transpose2d(x, _transposed(weight, groups), up, groups)
            around = (x0 - kw + 1, x1 - kw + up, y0 - kh + 1, y1 - kh + up)
            x = upfirdn2d(x, filter, 1, 1, around, flip_filter, gain)
        return x if down == 1 else upfirdn2d(x, filter, 1, down, 0, flip_filter)

    if kh == kw == 1:
        x = upfirdn2d(x, filter, 1, down, around, flip_filter, gain)
        return conv2d(x, weight, groups=groups)
    x = upfirdn2d(x, filter, 1, 1, around, flip_filter, gain)
    return conv2d(x, weight, stride=down, groups=groups)


def _transposed(weight: Tensor, groups: int) -> Tensor:
    """(O, I / groups, kh, kw) -> (I, O / groups, kh, kw), as torch's transposed convolution takes it."""
    o, i, kh, kw = weight.shape
    if groups == 1:
        return weight.transpose(0, 1)
    weight = weight.reshape(groups, o // groups, i, kh, kw).transpose(1, 2)
    return weight.reshape(groups * i, o // groups, kh, kw)


@replaceable
def conv2d(
    x: Tensor, weight: Tensor, stride: int = 1, padding: tuple[int, int] = (0, 0), groups: int = 1
) -> Tensor:
    """x (N, I, H, W), weight (O, I / groups, kh, kw) -> (N, O, H', W'): torch's function of that name."""
    return F.conv2d(x, weight, stride=stride, padding=padding, groups=groups)


@replaceable
def conv_transpose2d(x: Tensor, weight: Tensor, stride: int = 1, groups: int = 1) -> Tensor:
    """x (N, I, H, W), weight (I, O / groups, kh, kw) -> (N, O, H', W'): torch's function of that name."""
    return F.conv_transpose2d(x, weight, stride=stride, groups=groups)
