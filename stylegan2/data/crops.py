"""Where an image is cut to the wanted aspect ratio: in the middle, at random, or so that a point stays in view."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from stylegan2.data.checking import reason
from stylegan2.data.names import alike
from stylegan2.errors import InputError

Point = tuple[float, float]
"""A place in an upright image, (x, y) from (0, 0) at the top left to (1, 1) at the bottom right."""

FORM = 'JSON, {"folder/image.png": [0.3, 0.5], ...}, or CSV with the columns name, x and y'


@dataclass(frozen=True)
class Window:
    """Where the largest part of the wanted aspect ratio lies in an image. By default it is in the middle."""

    focus: Point | None = None
    """A point that stays in view."""

    draw: Point | None = None
    """Two uniform numbers in 0..1 that choose one of the possible places. None: the focus, or the middle, is as near
    to the center of the part as possible."""

    def start(self, axis: int, whole: int, part: float) -> int:
        """The first pixel of a part of `part` pixels on an axis (0: x, 1: y) of an image of `whole` pixels."""
        room = whole - part
        if self.draw is None:
            if self.focus is None:
                return int(room) // 2
            return int(min(max(self.focus[axis] * whole - part / 2, 0), room))
        low, high = 0.0, room
        if self.focus is not None:
            point = self.focus[axis] * whole
            low, high = max(low, point - part), min(high, point)
        return int(low + self.draw[axis] * (high - low))


class Draws(list[int]):
    """Indices of images, with what random crops of them follow from: the seed, and the epoch of each."""

    def __init__(self, indices: Iterable[int], seed: int, epochs: Sequence[int]):
        super().__init__(indices)
        self.seed, self.epochs = seed, epochs

    def __reduce__(self) -> tuple[Any, ...]:
        return Draws, (list(self), self.seed, self.epochs)


def draw(seed: int, epoch: int, index: int) -> Point:
    """Two uniform numbers that depend on nothing else, and that the sampler's permutations do not share."""
    random = np.random.Generator(np.random.Philox(key=[seed, epoch], counter=[0, 0, 0, 1 + index]))
    x, y = random.random(2).tolist()
    return x, y


def read_focus(path: str, names: Sequence[str], of: str) -> dict[str, Point]:
    """Read a file of points that crops keep in view.

    Args:
        path: A JSON or CSV file: names of images, and a point (x, y) in 0..1 of the upright image for each.
        names: Names of the images of the data set. Those without a point are cropped in the middle.
        of: The user's path of the data set, for messages.

    Raises:
        InputError: The file cannot be read, is of another form, or names an image that is not there.
    """
    file = Path(path).expanduser()
    try:
        text = file.read_text(encoding="utf-8-sig")
        if file.suffix.lower() == ".csv":
            rows = [(row["name"], (row["x"], row["y"])) for row in csv.DictReader(text.splitlines())]
        else:
            found = json.loads(text)
            rows = list(found.items() if isinstance(found, dict) else found)
        points = [(str(name), (float(x), float(y))) for name, (x, y) in rows]
    except Exception as error:  # no file, no JSON, or of another form
        raise InputError(
            f"data.focus expects points of images as {FORM}, found something else in {path} ({reason(error)}). "
            "Correct it."
        ) from error
    known, spelled = set(names), {alike(name): name for name in names}
    result: dict[str, Point] = {}
    for name, point in points:
        real = name if name in known else spelled.get(alike(name), "")
        if not real:
            raise InputError(
                f"data.focus expects names of images in {of}, found {name} in {path}. Names are paths in the data "
                f"set, such as {names[0]}."
            )
        if not all(0 <= value <= 1 for value in point):
            raise InputError(
                f"data.focus expects points from 0,0 (top left) to 1,1 (bottom right), found {point[0]:g},"
                f"{point[1]:g} of {name} in {path}. Divide pixels by the width and the height of the image."
            )
        result[real] = point
    return result
