"""Generated images as pictures: conversion to uint8, grids, PNG files."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from PIL import Image
from torch import Tensor

from stylegan2.data.dataset import to_uint8


def to_picture(image: Tensor) -> Image.Image:
    """(C, H, W) uint8, or float in the nominal range [-1, 1], to a picture of mode L, RGB or RGBA."""
    image = image if not image.is_floating_point() else to_uint8(image)
    array = image.permute(1, 2, 0).cpu().numpy()
    return Image.fromarray(np.ascontiguousarray(array[:, :, 0] if array.shape[2] == 1 else array))


def grid(images: Tensor, columns: int) -> Image.Image:
    """(N, C, H, W) as one picture, row by row; the rest of the last row stays white."""
    n, c, h, w = images.shape
    rows = -(-n // columns)
    images = images if not images.is_floating_point() else to_uint8(images)
    sheet = images.new_full((c, rows * h, columns * w), 255)
    for i, image in enumerate(images):
        y, x = divmod(i, columns)
        sheet[:, y * h : (y + 1) * h, x * w : (x + 1) * w] = image
    return to_picture(sheet)


def save_png(picture: Image.Image, path: Path) -> None:
    """Write under a temporary name and rename."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    picture.save(temporary, format="PNG")
    os.replace(temporary, path)
