"""The options of non-leaking augmentation (Karras et al. 2020, arXiv 2006.06676), `model.ada` on the command line."""

from __future__ import annotations

import math
from dataclasses import astuple, dataclass, field, fields
from typing import Any, Literal

from stylegan2.errors import InputError
from stylegan2.registry import check_choices

Group = Literal["blit", "geom", "color", "filter", "corrupt"]

GROUPS: dict[str, tuple[str, ...]] = {
    "blit": ("xflip", "rotate90", "xint"),
    "geom": ("scale", "rotate", "aniso", "xfrac"),
    "color": ("brightness", "contrast", "lumaflip", "hue", "saturation"),
    "filter": ("imgfilter",),
    "corrupt": ("noise", "cutout"),
}
"""The transforms of each group, in the order in which they are applied (ADA app. B)."""


def _check_numbers(what: str, options: Any) -> None:
    for option, value in zip(fields(options), astuple(options)):
        if not 0 <= value < math.inf:
            raise InputError(
                f"Expected ada.{what}.{option.name} of 0 or more, found {value}. 0 turns the transform off."
            )


@dataclass(frozen=True, kw_only=True)
class Multipliers:
    """The probability of each transform is p times its multiplier, at most 1. 0 leaves the transform out.

    Raises:
        InputError: A multiplier is negative or not finite.
    """

    xflip: float = 1
    """Horizontal flip, of every second image."""

    rotate90: float = 1
    """Rotation by a random multiple of 90 degrees."""

    xint: float = 1
    """Translation by whole pixels."""

    scale: float = 1
    """Isotropic scaling."""

    rotate: float = 1
    """Rotations by any angle, before and after anisotropic scaling."""

    aniso: float = 1
    """Anisotropic scaling: by a in x and 1/a in y."""

    xfrac: float = 1
    """Translation by fractions of pixels."""

    brightness: float = 1
    """Addition of one number to all channels."""

    contrast: float = 1
    """Multiplication of all channels by one number."""

    lumaflip: float = 1
    """Inversion of the luma, which keeps hue and saturation, of every second image."""

    hue: float = 1
    """Rotation of the colors about the gray axis."""

    saturation: float = 1
    """Scaling of the colors' distance from the gray axis."""

    imgfilter: float = 1
    """Gain of each of four frequency bands."""

    noise: float = 1
    """Gaussian noise of each pixel and channel."""

    cutout: float = 1
    """A rectangle of zeros."""

    def __post_init__(self) -> None:
        _check_numbers("multipliers", self)


@dataclass(frozen=True, kw_only=True)
class Strengths:
    """How far each transform goes. The defaults are those of the paper (ADA app. B).

    Raises:
        InputError: A strength is negative or not finite.
    """

    xint: float = 0.125
    """Largest translation by whole pixels, as a share of the size."""

    scale: float = 0.2
    """Standard deviation of the logarithm to base 2 of the factor."""

    rotate: float = 1
    """Largest angle, in half turns: 1 is any angle."""

    aniso: float = 0.2
    """Standard deviation of the logarithm to base 2 of the factor."""

    xfrac: float = 0.125
    """Standard deviation of the translation by fractions of pixels, as a share of the size."""

    brightness: float = 0.2
    """Standard deviation, where images range from -1 to 1."""

    contrast: float = 0.5
    """Standard deviation of the logarithm to base 2 of the factor."""

    hue: float = 1
    """Largest angle, in half turns: 1 is any hue."""

    saturation: float = 1
    """Standard deviation of the logarithm to base 2 of the factor."""

    imgfilter: float = 1
    """Standard deviation of the logarithm to base 2 of a band's gain."""

    noise: float = 0.1
    """Scale of the noise's standard deviation, which is half normal."""

    cutout: float = 0.5
    """Width and height of the rectangle, as a share of the image's."""

    def __post_init__(self) -> None:
        _check_numbers("strengths", self)


@dataclass(frozen=True, kw_only=True)
class ADAOptions:
    """The augmentations "ada" and "fixed": the probability p, how it adapts, and the transforms.

    Raises:
        InputError: A number is out of range, or a group has another name.
    """

    p: float | None = None
    """Probability of each transform: the constant one of "fixed" (null: 0.2), or the one that "ada" starts from
    (null: 0)."""

    target: float = 0.6
    """The value of r_t = E[sign(D(real))] that "ada" steers towards (ADA §3)."""

    speed: float = 500
    """Thousands of images in which p goes from 0 to 1 if all adjustments have one direction."""

    interval: int = 4
    """Iterations between two adjustments of p."""

    groups: list[Group] = field(default_factory=lambda: ["blit", "geom", "color"])
    """Groups of transforms that are in use: blit (xflip, rotate90, xint), geom (scale, rotate, aniso, xfrac), color
    (brightness, contrast, lumaflip, hue, saturation), filter (imgfilter), corrupt (noise, cutout). The default is
    the paper's choice, bgc."""

    multipliers: Multipliers = Multipliers()
    """Factors of p, one for each transform."""

    strengths: Strengths = Strengths()
    """How far each transform goes."""

    def __post_init__(self) -> None:
        check_choices(self)
        if self.p is not None and not 0 <= self.p <= 1:
            raise InputError(f"Expected ada.p from 0 to 1, found {self.p}. Give a probability, such as 0.2.")
        if not -1 <= self.target <= 1:
            raise InputError(
                f"Expected ada.target from -1 to 1, as means of signs are, found {self.target}. The default is 0.6."
            )
        if not 0 < self.speed < math.inf:
            raise InputError(f"Expected ada.speed above 0, in kimg, found {self.speed}. The default is 500.")
        if self.interval < 1:
            raise InputError(f"Expected ada.interval of 1 or more iterations, found {self.interval}.")

    def multiplier(self, transform: str) -> float:
        """The factor of p for a transform, which is 0 if the transform's group is not in use."""
        in_use = any(transform in GROUPS[group] for group in self.groups)
        return float(getattr(self.multipliers, transform)) if in_use else 0.0
