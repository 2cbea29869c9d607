"""Blit and geom: one affine transform of the plane for each image, and the resampling of images by it.

Coordinates are in pixels about the center of the image, x to the right and y down.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from stylegan2.ops import downsample2d, setup_filter, upsample2d

from .wavelets import SYM6

LOWPASS = setup_filter(SYM6, dtype=torch.float64)

MARGIN = 6
"""Pixels of padding beyond the transformed image, and samples of margin around the fine grid, for the filter."""


def affine(parameters: Mapping[str, Tensor], width: int, height: int) -> Tensor | None:
    """The map A (N, 2, 3) for which out(q) = in(A q), or None if no parameter belongs to it (ADA app. B).

    A is the product of the transforms in the order of their names here: the first acts last on q.

    Args:
        parameters: Any of xflip and rotate90, numbers of flips and of quarter turns (N,); xint, shares of the size
            (N, 2), rounded to pixels here; scale and aniso, factors (N,); rotate, aniso's rotation before, and
            rotate2, after, in radians (N,); xfrac, shares of the size (N, 2).
        width: Width of the images, in pixels.
        height: Height of the images, in pixels.
    """
    product: Tensor | None = None
    for name in ("xflip", "rotate90", "xint", "scale", "rotate", "aniso", "rotate2", "xfrac"):
        if name not in parameters:
            continue
        v = parameters[name]
        if name == "xflip":
            step = _matrix(1 - 2 * v, 0, 0, 0, 1, 0)
        elif name == "rotate90":
            step = _rotation(v * (math.pi / 2))
        elif name == "xint":
            step = _matrix(1, 0, -(v[:, 0] * width).round(), 0, 1, -(v[:, 1] * height).round())
        elif name == "scale":
            step = _matrix(1 / v, 0, 0, 0, 1 / v, 0)
        elif name == "aniso":
            step = _matrix(1 / v, 0, 0, 0, v, 0)
        elif name == "xfrac":
            step = _matrix(1, 0, -v[:, 0] * width, 0, 1, -v[:, 1] * height)
        else:
            step = _rotation(v)
        product = step if product is None else product @ step
    return None if product is None else product[:, :2]


def _matrix(*entries: Tensor | float) -> Tensor:
    """Matrices (N, 3, 3) whose first two rows are given, of which at least one entry is a tensor (N,)."""
    like = next(entry for entry in entries if isinstance(entry, Tensor))
    rows = [
        entry if isinstance(entry, Tensor) else torch.full_like(like, entry) for entry in (*entries, 0, 0, 1)
    ]
    return torch.stack(rows, dim=1).reshape(-1, 3, 3)


def _rotation(angle: Tensor) -> Tensor:
    cos, sin = angle.cos(), angle.sin()
    return _matrix(cos, -sin, 0, sin, cos, 0)


def resample(images: Tensor, matrix: Tensor) -> Tensor:
    """Images with out(q) = in(A q), band-limited at twice the resolution (ADA app. B).

    The images are padded by reflection, up-sampled by 2, sampled bilinearly on the transformed grid, and
    down-sampled by 2. The filter is orthogonal, so that the identity and shifts by whole pixels are exact. It is
    not symmetric: sample 2i of the fine grid stands for pixel i.

    Args:
        images: (N, C, H, W).
        matrix: A (N, 2, 3), in pixels about the center.
    """
    height, width = images.shape[2:]
    identity = torch.eye(2, 3, dtype=matrix.dtype, device=matrix.device)
    x0, x1, y0, y1, changed = [
        *_padding(matrix, width, height),
        (matrix != identity).any().to(matrix.dtype),
    ]
    left, right, top, bottom, any_changed = torch.stack([x0, x1, y0, y1, changed]).int().tolist()
    if not any_changed:
        return images
    taps = LOWPASS.to(images)
    padded = F.pad(images, [left, right, top, bottom], mode="reflect")
    fine = upsample2d(padded, taps)
    x = (torch.arange(2 * width + 2 * MARGIN, device=matrix.device) - MARGIN) / 2 - (width - 1) / 2
    y = (torch.arange(2 * height + 2 * MARGIN, device=matrix.device) - MARGIN) / 2 - (height - 1) / 2
    x, y, a = x.to(matrix.dtype)[:, None], y.to(matrix.dtype)[:, None, None], matrix[:, :, :, None, None]
    # q -> A q -> sample of the fine grid -> [-1, 1], as grid_sample has it, in one affine map.
    offset = matrix.new_tensor([(width - 1) / 2 + left, (height - 1) / 2 + top])
    size = matrix.new_tensor([fine.shape[3], fine.shape[2]])
    a = torch.cat([matrix[:, :, :2], matrix[:, :, 2:] + offset[:, None]], dim=2) * (4 / size)[:, None]
    a = (a + torch.cat([a.new_zeros(2, 2), (1 / size - 1)[:, None]], dim=1))[:, None, None]
    grid = a[..., 0] * x + a[..., 1] * y + a[..., 2]
    fine = sample(fine, grid.to(fine.dtype))
    return downsample2d(fine, taps, padding=-MARGIN, flip_filter=True)


def _padding(matrix: Tensor, width: int, height: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """How far the corners of all images reach beyond the image, in pixels: left, right, top and bottom."""
    half = matrix.new_tensor([(width - 1) / 2, (height - 1) / 2])
    signs = matrix.new_tensor([[-1, -1], [1, -1], [1, 1], [-1, 1]])
    corners = (signs * half) @ matrix[:, :, :2].mT + matrix[:, None, :, 2]  # (N, 4, 2)
    limit = matrix.new_tensor([width - 1, height - 1])
    before, after = (
        (reach.amax(dim=(0, 1)) - half + MARGIN).ceil().clamp(min=0).minimum(limit)
        for reach in (-corners, corners)
    )
    return before[0], after[0], before[1], after[1]


def sample(images: Tensor, grid: Tensor) -> Tensor:
    """Bilinear samples of images (N, C, H, W) at a grid (N, H', W', 2) in [-1, 1], with zeros outside.

    It equals `grid_sample`, and it can be differentiated by the images any number of times, which PyTorch's cannot.
    The grid gets no gradient.
    """
    return _Sample.apply(images, grid)


class _Sample(torch.autograd.Function):
    """Sampling is linear in the images, and its backward is its adjoint."""

    @staticmethod
    def forward(ctx: Any, images: Tensor, grid: Tensor) -> Tensor:
        ctx.save_for_backward(grid)
        ctx.shape = images.shape
        return F.grid_sample(images, grid, align_corners=False)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return _Adjoint.apply(gradient, *ctx.saved_tensors, ctx.shape), None


class _Adjoint(torch.autograd.Function):
    """Adds each sample to the pixels that it came from. Its own backward is sampling."""

    @staticmethod
    def forward(ctx: Any, gradient: Tensor, grid: Tensor, shape: torch.Size) -> Tensor:
        ctx.save_for_backward(grid)
        images = gradient.new_zeros(()).expand(shape)  # only its shape is used
        # Bilinear (0), zeros outside (0), corners not aligned, and no gradient with respect to the grid.
        backward = torch.ops.aten.grid_sampler_2d_backward
        result: Tensor = backward(gradient, images, grid, 0, 0, False, [True, False])[0]
        return result

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        return _Sample.apply(gradient, *ctx.saved_tensors), None, None
