"""Convolution with up- or down-sampling, in the order of steps that costs least."""

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
    """Up-sample an image, convolve it and down-sample it.

    Up-sampling inserts zeros, applies the low-pass filter and multiplies by up². Down-sampling applies the
    low-pass filter and keeps every `down`-th pixel.

    Args:
        x: Images (N, I, H, W).
        weight: Kernels (O, I / groups, height, width).
        filter: Low-pass filter as `upfirdn2d` takes it. None applies no filter.
        up: Up-sampling factor.
        down: Down-sampling factor.
        padding: One number, (x, y) or (x0, x1, y0, y1), counted in pixels of the up-sampled image. The
            padding that keeps the image centered under the low-pass filter is added to it. All of it is
            applied once, before the first filter.
        groups: Groups of channels, as in `torch.nn.functional.conv2d`.
        flip_weight: True is correlation (torch's convention), False is true convolution.
        flip_filter: False is true convolution with the low-pass filter, True is correlation.
        gain: Factor on the result.

    Returns:
        (N, O, H', W'). If `padding` is half the kernel size, H' = H·up/down.

    Raises:
        ValueError: The padding or the filter has the wrong form, or no pixel is left.
    """
    kh, kw = map(int, weight.shape[2:])  # torch.jit.trace would make tensors of them
    around = parse_padding(padding)
    if up > 1:
        around = add_padding(around, insertion_padding(filter, up, up))
    if down > 1:
        around = add_padding(around, decimation_padding(filter, down, down))
    x0, x1, y0, y1 = around
    transposes = up > 1 and kh * kw > 1  # a transposed convolution, which reverses the kernel
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
        if not transposes:  # A 1×1 kernel comes first, because there are fewer pixels before up-sampling.
            x = conv2d(x, weight, groups=groups)
            x = upfirdn2d(x, filter, up, 1, around, flip_filter, gain)
        else:
            # Filter and kernel commute, so the kernel can be applied before the filter. A transposed
            # convolution does so and skips the inserted zeros. It pads by the kernel's size less 1 and leaves
            # out the last up-1 zeros. The padding of the filter corrects both.
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
    """Reorder (O, I / groups, kh, kw) to (I, O / groups, kh, kw), as a transposed convolution takes it."""
    o, i, kh, kw = weight.shape
    if groups == 1:
        return weight.transpose(0, 1)
    weight = weight.reshape(groups, o // groups, i, kh, kw).transpose(1, 2)
    return weight.reshape(groups * i, o // groups, kh, kw)


@replaceable
def conv2d(
    x: Tensor, weight: Tensor, stride: int = 1, padding: tuple[int, int] = (0, 0), groups: int = 1
) -> Tensor:
    """Compute `torch.nn.functional.conv2d`.

    Shape: x (N, I, H, W), weight (O, I / groups, kh, kw) -> (N, O, H', W').
    """
    return F.conv2d(x, weight, stride=stride, padding=padding, groups=groups)


@replaceable
def conv_transpose2d(x: Tensor, weight: Tensor, stride: int = 1, groups: int = 1) -> Tensor:
    """Compute `torch.nn.functional.conv_transpose2d`.

    Shape: x (N, I, H, W), weight (I, O / groups, kh, kw) -> (N, O, H', W').
    """
    return F.conv_transpose2d(x, weight, stride=stride, groups=groups)
