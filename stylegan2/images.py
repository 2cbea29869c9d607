"""Generated images as pictures: conversion to uint8, grids, PNG files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image
from torch import Tensor

from stylegan2.data.pixels import to_uint8
from stylegan2.files import replacing


def to_picture(image: Tensor) -> Image.Image:
    """Convert (C, H, W), uint8 or float in the nominal range [-1, 1], to a gray, RGB or RGBA picture."""
    array = _uint8(image).permute(1, 2, 0).cpu().numpy()
    return Image.fromarray(np.ascontiguousarray(array[:, :, 0] if array.shape[2] == 1 else array))


def grid(images: Tensor, columns: int) -> Image.Image:
    """Lay out images (N, C, H, W), uint8 or float in [-1, 1], row by row without gaps.

    Unused cells of the last row are white.
    """
    from torchvision.utils import make_grid  # importing torchvision takes as long as importing torch

    images = _uint8(images)
    count, channels, height, width = images.shape
    rows = -(-count // columns)
    white = images.new_full((rows * columns - count, channels, height, width), 255)
    sheet = make_grid([*images, *white], nrow=columns, padding=0)
    return to_picture(sheet[:channels])  # make_grid repeats a gray channel three times


def save_png(picture: Image.Image, path: str | Path) -> None:
    """Write a PNG file atomically. A file of that name is replaced, and missing folders are made."""
    with replacing(path) as temporary:
        picture.save(temporary, format="PNG")


def _uint8(images: Tensor) -> Tensor:
    return to_uint8(images) if images.is_floating_point() else images
