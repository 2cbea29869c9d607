"""Sizes of images that networks can have: height and width are small numbers times one power of two."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

BASES = range(2, 9)
"""Sides that the lowest resolution may have."""


def divided(size: int | Sequence[int]) -> dict[str, Any]:
    """The `resolution` and `base` of networks for images of a size.

    Sides are halved equally often, until the lowest resolution has about as many pixels as 4×4.

    Args:
        size: The side of square images, or height and width.

    Raises:
        ValueError: The sides are no small numbers times one power of two. The message names the nearest that are.
    """
    if isinstance(size, int):
        return {"resolution": size}
    height, width = size
    if height == width and height & (height - 1) == 0:
        return {"resolution": height}
    found = {k: (height >> k, width >> k) for k in range(12) if not (height % 2**k or width % 2**k)}
    fitting = {k: base for k, base in found.items() if all(side in BASES for side in base)}
    if not fitting:
        near = min(
            ((a << k, b << k) for k in range(12) for a in BASES for b in BASES),
            key=lambda s: abs(math.log(s[0] / max(height, 1))) + abs(math.log(s[1] / max(width, 1))),
        )
        raise ValueError(
            f"height and width must be numbers from {BASES[0]} to {BASES[-1]} times the same power of two, got "
            f"{height}×{width}: {near[0]}×{near[1]} is near"
        )
    k = min(fitting, key=lambda k: (round(abs(math.log2(math.prod(fitting[k]) / 16)), 6), k))
    return {"resolution": 4 << k, "base": fitting[k]}


def pair(size: int | Sequence[int]) -> tuple[int, int]:
    """Height and width, from both or from the side of a square."""
    height, width = (size, size) if isinstance(size, int) else size
    return height, width


def side(size: int | Sequence[int]) -> float:
    """The side of a square with as many pixels, √(H·W)."""
    return math.sqrt(math.prod(pair(size)))


def text(size: int | Sequence[int]) -> str:
    """A size for people, such as 192×320."""
    height, width = pair(size)
    return f"{height}×{width}"
