"""The options of `stylegan2 advise`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from stylegan2.errors import InputError
from stylegan2.registry import check_choices


@dataclass(frozen=True, kw_only=True)
class AdvisedData:
    """The images to look at."""

    path: str
    """Folder or zip of images, or a folder in a zip, as in training."""

    resolution: int | tuple[int, int] | None = None
    """Size to give advice for: a side, or height,width. null: suggest one."""

    channels: Literal[1, 3, 4] = 3
    """Channels of the images: 1 (gray), 3 (RGB) or 4 (RGBA)."""

    max_pixels: int | None = None
    """The largest image that is read. By default it is limited by half of the memory."""


@dataclass(frozen=True, kw_only=True)
class AdviceOptions:
    """The options besides the data.

    Raises:
        InputError: A value is out of range.
    """

    quick: bool = False
    """Leave out the probe of R1's gamma."""

    probe_seconds: float = 40
    """Time for the probe, roughly. If the machine is too slow to tell anything in this time, there is no probe."""

    seed: int = 0
    """Seed of the probe."""

    accelerator: Literal["auto", "cpu"] = "auto"
    """auto: give advice for the GPU if there is one. cpu: for the CPU."""

    def __post_init__(self) -> None:
        check_choices(self)
        if not 0 < self.probe_seconds <= 3600:
            raise InputError(
                f"Expected --probe_seconds above 0 and up to 3600, found {self.probe_seconds}. The default is 40."
            )
