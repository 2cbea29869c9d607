"""Generated images as pictures: conversion to uint8, grids, PNG files."""

from __future__ import annotations

import io
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from PIL import Image
from torch import Tensor

from stylegan2.data.pixels import to_uint8
from stylegan2.files import replacing


def to_picture(image: Tensor) -> Image.Image:
    """Convert (C, H, W), uint8 or float in the nominal range [-1, 1], to a gray, RGB or RGBA picture."""
    image = to_uint8(image) if image.is_floating_point() else image
    array = image.permute(1, 2, 0).cpu().numpy()
    return Image.fromarray(np.ascontiguousarray(array[:, :, 0] if array.shape[2] == 1 else array))


def grid(images: Tensor, columns: int) -> Image.Image:
    """Lay out images (N, C, H, W), uint8 or float in [-1, 1], row by row without gaps.

    Unused cells of the last row are white.
    """
    from torchvision.utils import make_grid  # importing torchvision takes as long as importing torch

    images = to_uint8(images) if images.is_floating_point() else images
    count, channels, height, width = images.shape
    rows = -(-count // columns)
    white = images.new_full((rows * columns - count, channels, height, width), 255)
    laid_out = make_grid([*images, *white], nrow=columns, padding=0)
    return to_picture(laid_out[:channels])  # make_grid repeats a gray channel three times


def sheet(pictures: Iterable[Image.Image], columns: int, rows: int) -> Image.Image:
    """Lay out at least one and at most columns · rows pictures of one size, row by row without gaps.

    It takes one picture after the other and keeps none of them. What they leave of the sheet stays white.
    """
    paper = None
    for k, picture in enumerate(pictures):
        width, height = picture.size
        if paper is None:
            paper = Image.new(picture.mode, (columns * width, rows * height), "white")
        paper.paste(picture, (k % columns * width, k // columns * height))
    if paper is None:
        raise ValueError("a sheet needs one picture or more")
    return paper


def enlarged(picture: Image.Image, scale: int) -> Image.Image:
    """The picture with every pixel as a square of scale × scale pixels."""
    size = (scale * picture.width, scale * picture.height)
    return picture if scale == 1 else picture.resize(size, Image.Resampling.NEAREST)


def png(picture: Image.Image, compression: int = 6) -> bytes:
    """A picture as the content of a PNG file. Compression goes from 0 to 9, which takes longest."""
    file = io.BytesIO()
    picture.save(file, format="PNG", compress_level=compression)
    return file.getvalue()


def png_bytes(picture: Image.Image) -> int:
    """The bytes that a picture's PNG file takes on a disk, which gives out blocks of 4 KiB."""
    return -(-len(png(picture)) // 4096) * 4096


def save_png(picture: Image.Image, path: str | Path) -> None:
    """Write a PNG file atomically. A file of that name is replaced, and missing folders are made."""
    with replacing(path) as temporary:
        picture.save(temporary, format="PNG")
