"""Walks through a latent space: a point for every time, by interpolation between keys or around a circle."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from stylegan2.errors import InputError
from stylegan2.registry import Registry, check_choices

Interpolation = Literal["linear", "slerp", "cubic"]
Space = Literal["z", "w"]
Path = Callable[[float], Tensor]
"""The point (D,) at a time. Key k is at time k."""


paths: Registry[Callable[[Tensor, bool], Path]] = Registry("interpolation")
"""Functions that make a path through keys (K, D), by the name of the interpolation."""


@paths.register("linear")
def linear(keys: Tensor, loop: bool = False) -> Path:
    """Straight lines between keys (K, D). A loop returns from the last key to the first until time K."""

    def at(time: float) -> Tensor:
        first, second, part = _leg(time, len(keys), loop)
        return keys[first].lerp(keys[second], part)

    return at


@paths.register("slerp")
def slerp(keys: Tensor, loop: bool = False) -> Path:
    """Arcs of great circles (Shoemake 1985), on which the direction turns evenly and the length changes evenly.

    Between latents z from N(0, I), which lie near a sphere of radius √D, a straight line comes closer to the
    origin than any latent that the network was trained with. An arc does not.
    """

    def at(time: float) -> Tensor:
        first, second, part = _leg(time, len(keys), loop)
        a, b = keys[first], keys[second]
        length = a.norm().lerp(b.norm(), part)
        u, v = a / a.norm().clamp(min=1e-12), b / b.norm().clamp(min=1e-12)
        angle = torch.atan2((u - v).norm(), (u + v).norm()) * 2
        if (
            angle.sin().abs() < 1e-4
        ):  # the same direction, or opposite ones, between which no arc is the shortest
            return a.lerp(b, part)
        turned = (((1 - part) * angle).sin() * u + (part * angle).sin() * v) / angle.sin()
        return turned * length

    return at


@paths.register("cubic")
def cubic(keys: Tensor, loop: bool = False) -> Path:
    """The cubic spline through the keys, whose velocity and acceleration never jump. A loop is periodic."""
    from scipy.interpolate import CubicSpline

    points = keys.double().cpu().numpy()
    if len(points) == 1:
        return lambda time: keys[0]
    if loop:
        points = points[[*range(len(points)), 0]]
    spline = CubicSpline(range(len(points)), points, bc_type="periodic" if loop else "natural")
    return lambda time: torch.from_numpy(spline(time)).to(keys)


def circle(center: Tensor, first: Tensor, second: Tensor) -> Path:
    """center + cos(2πt) · u + sin(2πt) · v, where t counts turns.

    u is `first`, and v has its length and is the part of `second` that is orthogonal to it. All are (D,).
    """
    v = second - (second @ first) / (first @ first) * first
    v = v * first.norm() / v.norm()
    return lambda time: center + math.cos(2 * math.pi * time) * first + math.sin(2 * math.pi * time) * v


@dataclass(frozen=True, kw_only=True)
class Walk:
    """A walk, with the label and the center of truncation that belong to every point."""

    path: Path
    """Points of Z or W."""

    space: Space
    """The latent space of the points."""

    label: Path
    """The label (num_classes,) at a time."""

    center: Path
    """What truncation goes towards at a time, (w_dim,)."""

    duration: float
    """The time at which the walk ends. A loop is then back at its start."""

    loop: bool
    """Whether the end is the start."""

    def __post_init__(self) -> None:
        check_choices(self)

    def times(self, frames: int) -> list[float]:
        """Times of frames, `frames` for each unit of time. A loop leaves out its end, which is its start."""
        count = round(self.duration * frames)
        return [i / frames for i in range(max(count, 1) if self.loop else count + 1)]


def checked_number(option: str, value: float, least: float, example: str) -> None:
    """Refuse a number that is not finite or below the least.

    Raises:
        InputError: Naming the option.
    """
    if not math.isfinite(value) or value < least:
        raise InputError(f"{option} expects a number of {least:g} or more, found {value}. Try {example}.")


def _leg(time: float, keys: int, loop: bool) -> tuple[int, int, float]:
    """The keys before and after a time, and the part of the way between them."""
    if loop:
        whole = math.floor(time)
        return whole % keys, (whole + 1) % keys, time - whole
    whole = min(max(math.floor(time), 0), max(keys - 2, 0))
    return whole, min(whole + 1, keys - 1), min(max(time - whole, 0.0), 1.0)
