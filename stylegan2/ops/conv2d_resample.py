"""Convolution with up- or down-sampling: the filter goes where it costs least."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor

from stylegan2.kernels.convolution import conv2d, conv_transpose2d
from stylegan2.ops.upfirdn2d import filter_size, parse_padding, upfirdn2d


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
            low-pass filter needs to keep the image centred is added to it. All padding is at the start.
        groups: Groups of channels, as in `torch.nn.functional.conv2d`.
        flip_weight: True is correlation (torch's convention), False is true convolution.
        flip_filter: True applies the low-pass filter as it stands, False reversed (true convolution).
        gain: Factor on the low-pass filter, where there is up- or down-sampling.

    Returns:
        (N, O, H', W'); with `padding` half the kernel, H' = H·up/down.
    """
    x0, x1, y0, y1 = parse_padding(padding)
    fw, fh = filter_size(filter)
    kh, kw = weight.shape[2:]
    if up > 1:
        x0, x1 = x0 + (fw + up - 1) // 2, x1 + (fw - up) // 2
        y0, y1 = y0 + (fh + up - 1) // 2, y1 + (fh - up) // 2
    if down > 1:
        x0, x1 = x0 + (fw - down + 1) // 2, x1 + (fw - down) // 2
        y0, y1 = y0 + (fh - down + 1) // 2, y1 + (fh - down) // 2

    if up == 1 and down == 1:
        if x0 == x1 and y0 == y1 and min(x0, y0) >= 0:
            return _conv2d(x, weight, padding=(y0, x0), groups=groups, flip_weight=flip_weight)
        return _conv2d(F.pad(x, [x0, x1, y0, y1]), weight, groups=groups, flip_weight=flip_weight)

    if up > 1:
        if kh == kw == 1:  # Fewer pixels before the filter than after it.
            x = _conv2d(x, weight, groups=groups, flip_weight=flip_weight)
            x = upfirdn2d(x, filter, up, 1, (x0, x1, y0, y1), flip_filter, gain * up**2)
        else:
            # Filter and kernel commute, so the kernel can meet the zeros first, as a transposed convolution
            # that skips them. It pads by its own size and ends up-1 zeros early: the filter corrects both.
            x = _conv_transpose2d(x, weight, up, groups, flip_weight)
            around = (x0 - kw + 1, x1 - kw + up, y0 - kh + 1, y1 - kh + up)
            x = upfirdn2d(x, filter, 1, 1, around, flip_filter, gain * up**2)
        return x if down == 1 else upfirdn2d(x, filter, 1, down, 0, flip_filter)

    if kh == kw == 1:
        x = upfirdn2d(x, filter, 1, down, (x0, x1, y0, y1), flip_filter, gain)
        return _conv2d(x, weight, groups=groups, flip_weight=flip_weight)
    x = upfirdn2d(x, filter, 1, 1, (x0, x1, y0, y1), flip_filter, gain)
    return _conv2d(x, weight, stride=down, groups=groups, flip_weight=flip_weight)


def _conv2d(x: Tensor, weight: Tensor, flip_weight: bool, groups: int, stride=1, padding=(0, 0)) -> Tensor:
    if not flip_weight and weight.shape[2:].numel() > 1:
        weight = weight.flip([2, 3])
    return conv2d(x, weight, stride, padding, groups)


def _conv_transpose2d(x: Tensor, weight: Tensor, up: int, groups: int, flip_weight: bool) -> Tensor:
    """Full convolution of the zero-inserted x: (N, I, H, W) -> (N, O, (H-1)·up + kh, (W-1)·up + kw)."""
    if flip_weight:
        weight = weight.flip([2, 3])
    if groups == 1:
        return conv_transpose2d(x, weight.transpose(0, 1), up)
    o, i, kh, kw = weight.shape
    weight = weight.reshape(groups, o // groups, i, kh, kw).transpose(1, 2)
    return conv_transpose2d(x, weight.reshape(groups * i, o // groups, kh, kw), up, groups)
