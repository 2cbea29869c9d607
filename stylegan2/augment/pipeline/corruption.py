"""Corrupt: additive noise and cutout."""

from __future__ import annotations

import torch
from torch import Tensor


def add_noise(images: Tensor, sigma: Tensor, field: Tensor) -> Tensor:
    """Images (N, C, H, W) plus sigma (N,) times a field ~ N(0, 1) of their shape."""
    return images + sigma[:, None, None, None] * field


def cut_out(images: Tensor, center: Tensor, size: Tensor) -> Tensor:
    """Zero where |(i + ½)/W - center| < size/2 in both directions.

    Args:
        images: (N, C, H, W).
        center: x and y (N, 2), from 0 to 1.
        size: Width and height of the rectangle (N,), as shares of the image's. 0 cuts nothing out.
    """
    inside = []
    for axis, length in enumerate((images.shape[3], images.shape[2])):
        position = (torch.arange(length, device=images.device, dtype=images.dtype) + 0.5) / length
        inside.append((position - center[:, axis, None]).abs() < size[:, None] / 2)
    hole = inside[0][:, None, None, :] & inside[1][:, None, :, None]
    return images * ~hole
