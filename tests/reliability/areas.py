"""Images with four areas of known colors, and the check that training gets these colors."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from random import Random

import numpy as np
from PIL import Image

from . import samples

Color = tuple[int, int, int, int]
"""Red, green, blue and alpha in 0..255."""

COLORS: list[Color] = [(230, 30, 30, 255), (30, 200, 60, 255), (40, 50, 220, 255), (220, 220, 40, 255)]
"""Colors of the areas: upper left, upper right, lower left, lower right."""
OTHERS: list[Color] = [(0, 0, 0, 255)] * 4
GRAYS: list[Color] = [(v, v, v, 255) for v in (20, 90, 160, 240)]
BLACK_AND_WHITE: list[Color] = [(v, v, v, 255) for v in (0, 255, 255, 0)]
CLEAR: list[Color] = [*COLORS[:3], (220, 220, 40, 0)]
HALF: list[Color] = [*COLORS[:2], (40, 50, 220, 128), (220, 220, 40, 0)]


def any_size(random: Random) -> tuple[int, int]:
    """An even width and height. An area ends at the middle of the image, and so of its center square."""
    return 2 * random.randint(16, 48), 2 * random.randint(16, 48)


def spread(values: Sequence, size: tuple[int, int], dtype: type = np.uint8) -> np.ndarray:
    """Four values as areas of an array (H, W, ...)."""
    array = np.array(values, dtype)
    array = array.reshape(2, 2, *array.shape[1:])
    return array.repeat(size[1] // 2, 0).repeat(size[0] // 2, 1)


def areas(colors: Sequence[Color], size: tuple[int, int], mode: str = "RGBA") -> Image.Image:
    """An image of four areas."""
    return Image.fromarray(spread(colors, size)).convert(mode)


def expected(color: Color, channels: int) -> list[float]:
    """What training gets of a color: over white unless it keeps alpha; gray by the weights of ITU-R 601."""
    *rgb, alpha = color
    if channels == 4:
        return [*map(float, rgb), float(alpha)]
    rgb = [value * alpha / 255 + 255 - alpha for value in rgb]
    return rgb if channels == 3 else [0.299 * rgb[0] + 0.587 * rgb[1] + 0.114 * rgb[2]]


def differences(path: Path, colors: Sequence[Color], **options: int) -> list[str]:
    """Where what training gets of an image differs from the colors by more than a tolerance.

    Args:
        path: The image, in a folder of its own.
        colors: Of the four areas.
        options: `tolerance`, by default 4 of 255 levels.
    """
    tolerance, found = options.get("tolerance", 4), []
    for channels in (1, 3, 4):
        picture = samples.pictures(path.parent, resolution=16, channels=channels)[path.name].float()
        for k, color in enumerate(colors):
            y, x = 8 * (k // 2) + 3, 8 * (k % 2) + 3
            mean = picture[:, y : y + 2, x : x + 2].mean((1, 2)).tolist()
            wanted = expected(color, channels)
            if channels == 4 and color[3] == 0:  # a transparent pixel has no color
                mean, wanted = mean[3:], wanted[3:]
            if max(abs(a - b) for a, b in zip(mean, wanted)) > tolerance:
                found.append(f"{channels} channels, area {k}: {wanted} became {[round(v) for v in mean]}")
    return found


def check(path: Path, data: bytes, *accepted: Sequence[Color], tolerance: int = 4) -> str:
    """Assert that training gets one of these sets of colors of an image file."""
    path.write_bytes(data)
    found = [differences(path, colors, tolerance=tolerance) for colors in accepted]
    assert not all(found), "; ".join(found[0][:3])
    return "read" if not found[0] else "read in another way"
