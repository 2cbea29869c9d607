"""Typical and extreme parameters of every transform of ADA's pipeline, with labels, for looking at them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from .options import Strengths
from .pipeline import Parameters
from .pipeline.wavelets import BANDS

SIGMAS = (-2, -1, 1, 2)
"""Normal values are shown at so many standard deviations."""

SHARES = (-0.75, -0.25, 0.25, 0.75, 1)
"""Uniform angles are shown at such shares of the largest."""


@dataclass(frozen=True)
class Example:
    """Parameters of one transform for one image, and what they are, such as "×1.32 (+2σ)"."""

    label: str
    parameters: Parameters


def examples(transform: str, strengths: Strengths, image: Tensor) -> list[Example]:
    """Examples of a transform for an image (C, H, W)."""
    return [
        Example(label, {name: torch.tensor([value]) for name, value in values.items()})
        for label, values in _values(transform, strengths, image.shape[2], image.shape[1])
    ] + (_noise(strengths, image) if transform == "noise" else [])


def _values(
    transform: str, strengths: Strengths, width: int, height: int
) -> Iterator[tuple[str, dict[str, object]]]:
    """Labels and parameters of one image."""
    strength = getattr(strengths, transform, 0.0)
    if transform in ("xflip", "lumaflip"):
        yield "flipped", {transform: 1.0}
    elif transform == "rotate90":
        for quarters in (1, 2, 3):
            yield f"{90 * quarters}°", {transform: float(quarters)}
    elif transform in ("xint", "xfrac"):
        reach = (strength,) if transform == "xint" else (strength, 2 * strength)
        places = [
            (-reach[0], 0.0),
            (reach[0], 0.0),
            (0.0, -reach[0]),
            (0.0, reach[0]),
            (reach[-1], reach[-1]),
        ]
        for x, y in places:
            digits = 0 if transform == "xint" else 1
            yield f"{_signed(x * width, digits)}, {_signed(y * height, digits)} px", {transform: [x, y]}
    elif transform in ("scale", "aniso", "contrast", "saturation"):
        for k in SIGMAS:
            yield f"×{2 ** (k * strength):.2f} ({_signed(k)}σ)", {transform: 2.0 ** (k * strength)}
    elif transform in ("rotate", "hue"):
        for share in SHARES:
            yield f"{_signed(180 * strength * share)}°", {transform: math.pi * strength * share}
    elif transform == "brightness":
        for k in SIGMAS:
            yield f"{_signed(k * strength, 2)} ({_signed(k)}σ)", {transform: k * strength}
    elif transform == "imgfilter":
        for band, k in [*((band, 2) for band in range(BANDS)), (0, -2), (BANDS - 1, -2)]:
            gain = 2.0 ** (k * strength)
            yield (
                f"band {band + 1} ×{gain:.3g}",
                {transform: [gain if b == band else 1.0 for b in range(BANDS)]},
            )
    elif transform == "cutout":
        for x, y in ((0.5, 0.5), (0.0, 0.0), (0.9, 0.4), (0.3, 1.0)):
            yield f"around {x:g}, {y:g}", {"cutout_center": [x, y], transform: strength}


def _noise(strengths: Strengths, image: Tensor) -> list[Example]:
    field = torch.randn(1, *image.shape, generator=torch.Generator().manual_seed(0))
    sigmas = {k: torch.tensor([k * strengths.noise]) for k in (0.5, 1, 2, 3)}
    return [
        Example(f"σ = {k * strengths.noise:.3g} ({k:g}σ)", {"noise": sigma, "noise_field": field})
        for k, sigma in sigmas.items()
    ]


def _signed(value: float, digits: int = 0) -> str:
    return f"{value:+.{digits}f}".replace("-", "−") if round(value, digits) else "0"
