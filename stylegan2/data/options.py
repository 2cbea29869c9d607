"""What a user sets about the data, on the command line or in Python."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from stylegan2.errors import InputError
from stylegan2.registry import check_choices

RESOLUTIONS = tuple(2**k for k in range(2, 11))


@dataclass(frozen=True)
class DataOptions:
    """The images to train on.

    Raises:
        InputError: `resolution`, `channels`, `classes` or `unreadable` is none of the values below.
    """

    path: str = "demo"
    """Folder or zip of images, or a folder in a zip (photos.zip/cats). "demo" stands for the 1,906 emoji that
    come with the package, in nine folders."""

    resolution: int = 32
    """Height and width to which images are resized: a power of two from 4 to 1024."""

    channels: Literal[1, 3, 4] = 3
    """1 gives gray images, 3 RGB, 4 RGBA."""

    classes: Literal["none", "folders", "labels"] = "none"
    """Labels of the images. "folders" makes a class of each top-level folder, "labels" reads dataset.json."""

    mirror: bool = False
    """Train on the horizontally flipped images too."""

    unreadable: Literal["refuse", "skip"] = "refuse"
    """What happens when files are unreadable. "refuse" stops, "skip" goes on without them."""

    workers: int | None = None
    """Processes that decode images. By default there are none if all images are in memory, and otherwise one
    per CPU, up to 8."""

    cache_gb: float = 2.0
    """Decoded images are kept in memory if all of them fit into this many gigabytes (10^9 bytes)."""

    def __post_init__(self) -> None:
        if self.resolution not in RESOLUTIONS:
            near = min(RESOLUTIONS, key=lambda r: abs(r - self.resolution))
            raise InputError(
                f"Expected a resolution that is a power of two from 4 to 1024, found {self.resolution}. "
                f"Set {near}, for example."
            )
        if self.channels not in (1, 3, 4):
            raise InputError(
                f"Expected 1 (gray), 3 (RGB) or 4 (RGBA) channels, found {self.channels}. Set one of these."
            )
        check_choices(self)
