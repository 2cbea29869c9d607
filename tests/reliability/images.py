"""Images of every kind, sound ones and ones whose metadata is broken.

An image has four areas of known colors. What training would get of it must show these colors in the right places.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from PIL import Image, ImageCms, PngImagePlugin, features

from . import samples
from .formats import png, red_is_blue
from .runner import Family

family = Family(
    name="images",
    tried="an image file",
    holds="training gets the right colors in the right places, upright, with 1, 3 and 4 channels (for images of "
    "more than 16 bits: or it is refused with a message)",
    count=200,
    prepare=samples.prepare,
)

Color = tuple[int, int, int, int]
COLORS: list[Color] = [(230, 30, 30, 255), (30, 200, 60, 255), (40, 50, 220, 255), (220, 220, 40, 255)]
"""RGBA of the areas: upper left, upper right, lower left, lower right."""
GRAYS: list[Color] = [(v, v, v, 255) for v in (20, 90, 160, 240)]
WHITE = (255, 255, 255)


def areas(colors: Sequence[Color] = COLORS, size: tuple[int, int] = (32, 32)) -> Image.Image:
    """An RGBA image of four areas."""
    image = Image.new("RGBA", size)
    width, height = size
    for k, color in enumerate(colors):
        image.paste(color, (k % 2 * width // 2, k // 2 * height // 2, width, height) if k < 3 else (width // 2, height // 2, width, height))
        if k == 2:
            image.paste(color, (0, height // 2, width // 2, height))
    return image
