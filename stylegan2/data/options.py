"""The options of the data, for the command line and for Python."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from stylegan2.data.holdout import share_of
from stylegan2.errors import InputError
from stylegan2.registry import check_choices
from stylegan2.sizes import divided, pair

RESOLUTIONS = tuple(2**k for k in range(2, 11))


@dataclass(frozen=True)
class DataOptions:
    """The images to train on.

    Raises:
        InputError: An option is not one of the values below.
    """

    path: str = "demo"
    """Folder or zip of images, or a folder in a zip (photos.zip/cats). "demo" is the set of 1,906 emoji in
    nine folders that comes with the package, and demo:smileys-emotion is one of these folders."""

    resolution: int | tuple[int, int] = 32
    """Size to which images are resized: the side of a square, a power of two from 4 to 1024, or [height, width], both
    2 to 8 times the same power of two, such as [192, 320]."""

    channels: Literal[1, 3, 4] = 3
    """Channels of the images: 1 (gray), 3 (RGB) or 4 (RGBA)."""

    classes: Literal["none", "folders", "labels"] = "none"
    """Labels of the images. "folders" makes a class of each top-level folder. "labels" reads dataset.json."""

    crop: Literal["center", "pad", "random"] = "center"
    """How an image gets the aspect ratio of `resolution`. "center" cuts off what is too much on two sides. "pad"
    keeps all of it and adds margins: white, or transparent with 4 channels. "random" cuts at a new place in every
    epoch, so that images are decoded each time."""

    focus: str | None = None
    """JSON or CSV file of points that crops keep in view: {"folder/image.png": [x, y], ...}, or columns name, x, y.
    Points go from 0,0 (top left) to 1,1 (bottom right)."""

    mirror: bool = False
    """Whether to train on the horizontally flipped images too."""

    holdout: float | str = 0.0
    """Share of the images that the discriminator is never trained on, such as 5% or 0.05. metrics.csv then has its
    mean logit for them, which shows overfitting. The seed chooses them, and a resumed run keeps them."""

    unreadable: Literal["refuse", "skip"] = "refuse"
    """What happens if files are unreadable. "refuse" stops with an error. "skip" continues without them. During
    training, up to 1 % of the images may become unreadable, or up to half of them with "skip"."""

    max_pixels: int | None = None
    """The largest image that is read. By default it is limited by half of the memory, at 16 bytes per pixel."""

    workers: int | None = None
    """Number of processes that decode images. The default is none if all images are in memory, and otherwise
    one per CPU, up to 8."""

    cache_gb: float = 2.0
    """Decoded images are kept in memory if all of them fit into this number of gigabytes (10^9 bytes)."""

    def __post_init__(self) -> None:
        if not isinstance(self.resolution, int):
            try:
                divided(self.resolution)
            except ValueError as error:
                raise InputError(f"data.resolution: {error}.") from error
            object.__setattr__(self, "resolution", pair(self.resolution))  # YAML files give a list
        elif self.resolution not in RESOLUTIONS:
            near = min(RESOLUTIONS, key=lambda r: abs(r - self.resolution))
            raise InputError(
                f"Expected a resolution that is a power of two from 4 to 1024, found {self.resolution}. "
                f"Set it to {near}, for example, or give height and width."
            )
        if self.channels not in (1, 3, 4):
            raise InputError(
                f"Expected 1 (gray), 3 (RGB) or 4 (RGBA) channels, found {self.channels}. Set one of these."
            )
        check_choices(self)
        if self.focus is not None and self.crop == "pad":
            raise InputError(
                f"Expected data.focus with data.crop center or random, found {self.focus} with pad, which cuts "
                "nothing off. Set one of the two."
            )
        share_of(self.holdout)  # raises for what is no share
        for name, least in (("workers", 0), ("cache_gb", 0), ("max_pixels", 1)):
            value = getattr(self, name)
            if value is not None and not value >= least:
                raise InputError(
                    f"Expected data.{name} of {least} or more, found {value}. Set such a number."
                )
