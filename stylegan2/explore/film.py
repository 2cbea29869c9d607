"""The frames of a video: each is computed from its number alone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from PIL import Image
from torch import Tensor

from stylegan2.errors import InputError
from stylegan2.images import enlarged, sheet, to_picture
from stylegan2.networks.generator import Generator
from stylegan2.networks.layers import Noise
from stylegan2.registry import check_choices

from .centers import nearest
from .directions import Edit
from .latents import image_of, labels_on, latent, sample_w, truncated, w_of
from .walks import Interpolation, Path, Space, Walk, circle, linear, paths

VISIBLE = 256
"""Smaller images are enlarged by a whole number to at most so many pixels a side, if no size is given."""

REFERENCE = 4096
"""Number of latents whose distance from their mean is the unit of a circle's radius in W."""


@dataclass(frozen=True, kw_only=True)
class Film:
    """A video as a sequence of pictures, `len(film)` of them, of which `film.frame(i)` is number i."""

    network: Generator
    walks: Sequence[Walk]
    """A walk for each cell of the grid, row by row. All of them end at the same time."""

    times: Sequence[float]
    """The time of every frame."""

    columns: int = 1
    psi: float = 1.0
    cutoff: int | None = None
    noise: Noise = "const"
    edits: Sequence[Edit] = field(default_factory=tuple)
    size: int | None = None
    """The longer side of every image in pixels. None: the network's size, enlarged to be visible."""

    def __post_init__(self) -> None:
        check_choices(self)

    def __len__(self) -> int:
        return len(self.times)

    def frame(self, number: int) -> Image.Image:
        """The picture of a frame. Random noise is drawn from the frame's number and the cell."""
        cells = [
            fitted(to_picture(image_of(self.network, self.ws(number, cell), self.noise, seed)), self.size)
            for cell, seed in enumerate(range(number * len(self.walks), (number + 1) * len(self.walks)))
        ]
        return sheet(cells, self.columns, math.ceil(len(cells) / self.columns))

    @torch.no_grad()
    def ws(self, number: int, cell: int = 0) -> Tensor:
        """The ws (num_ws, w_dim) of a cell in a frame."""
        walk, time = self.walks[cell], self.times[number]
        point, center = walk.path(time)[None], walk.center(time)
        if walk.space == "z":
            point = w_of(self.network, point, walk.label(time)[None])
        ws = point[:, None].repeat(1, self.network.num_ws, 1)
        ws = truncated(ws, center, self.psi, self.cutoff)
        for edit in self.edits:
            ws = edit.applied(ws, self.part(number))
        return ws[0]

    def part(self, number: int) -> float:
        """How far along an edit is in a frame, from 0 to 1. In a loop it goes there and back."""
        if self.walks[0].loop:
            return (1 - math.cos(2 * math.pi * number / len(self))) / 2
        return number / max(len(self) - 1, 1)


def interpolation_walk(
    network: Generator,
    seeds: Sequence[int],
    labels: Tensor,
    interpolation: Interpolation = "linear",
    space: Space = "w",
    loop: bool = False,
    centers: Tensor | None = None,
) -> Walk:
    """A walk that is at the image of seed k at time k.

    Args:
        network: The generator.
        seeds: Of the latents.
        labels: (len(seeds), num_classes).
        interpolation: Of the latents. Labels and centers change linearly.
        space: z or w, whose points are interpolated. In W, slerp turns around w_avg.
        loop: Whether it returns to the first seed.
        centers: (K, w_dim), the nearest of which each seed is truncated towards. None: `w_avg`, or the mean of w
            of the label.
    """
    labels = labels_on(network, labels, len(seeds))
    keys = torch.cat([latent(network, seed) for seed in seeds])
    ws = w_of(network, keys, labels)
    path = paths[interpolation](keys, loop)
    if space == "w":
        middle = (
            network.mapping.w_avg if interpolation == "slerp" else torch.zeros_like(network.mapping.w_avg)
        )
        path = _moved(paths[interpolation](ws - middle, loop), middle)
    return Walk(
        path=path,
        space=space,
        label=linear(labels, loop),
        center=linear(truncation_centers(network, ws, labels, centers), loop),
        duration=len(seeds) if loop else len(seeds) - 1,
        loop=loop,
    )


def circle_walk(
    network: Generator,
    seed: int,
    label: Tensor,
    radius: float = 0.5,
    space: Space = "w",
    centers: Tensor | None = None,
) -> Walk:
    """A walk of one turn around the latent of a seed, in a plane that the seed chooses.

    Args:
        network: The generator.
        seed: Of the latent in the middle.
        label: (num_classes,).
        radius: 1 is √z_dim in Z, the length of a typical latent, and the root mean square distance of w from its
            mean in W.
        space: z or w.
        centers: As for `interpolation_walk`.
    """
    label = labels_on(network, label[None], 1)
    middle = latent(network, seed)
    w = w_of(network, middle, label)
    random = torch.Generator().manual_seed(seed)
    u, v = torch.randn(2, network.z_dim, generator=random).to(middle)
    point, length = middle[0], math.sqrt(network.z_dim)
    if space == "w":
        reference = sample_w(network, REFERENCE, label if network.num_classes else None)
        mean = reference.mean(dim=0)
        length = float((reference - mean).square().sum(dim=1).mean().sqrt())
        u, v = w_of(network, torch.stack([u, v]), label.expand(2, -1)) - mean
        point = w[0]
    path = circle(point, radius * length * u / u.norm(), v)
    center = truncation_centers(network, w, label, centers)[0]
    return Walk(
        path=path,
        space=space,
        label=lambda time: label[0],
        center=lambda time: center,
        duration=1,
        loop=True,
    )


def truncation_centers(network: Generator, ws: Tensor, labels: Tensor, centers: Tensor | None) -> Tensor:
    """What each w (N, w_dim) is truncated towards, (N, w_dim): see `interpolation_walk`."""
    if centers is not None:
        return nearest(ws, centers.to(ws))
    if network.num_classes:
        return network.mapping.w_mean(labels)
    return network.mapping.w_avg.expand(len(ws), -1)


def fitted(picture: Image.Image, size: int | None) -> Image.Image:
    """The picture with a longer side of `size` pixels, by Lanczos. None: whole enlargement to be visible."""
    longest = max(picture.size)
    if size is None:
        return enlarged(picture, max(1, VISIBLE // longest))
    width, height = (max(1, round(side * size / longest)) for side in picture.size)
    return picture.resize((width, height), Image.Resampling.LANCZOS)


def cells_of(seeds: Sequence[int], cells: int, least: int) -> list[list[int]]:
    """The seeds of every cell of a grid, in equal shares.

    Raises:
        InputError: They cannot be divided evenly, or a share is smaller than `least`.
    """
    each = len(seeds) // cells
    if each * cells != len(seeds) or each < least:
        raise InputError(
            f"--seeds expects {least} or more for each of the {cells} cells of --grid, equally many for all, found "
            f"{len(seeds)} seeds. Give {max(least, each + 1) * cells}, for example."
        )
    return [list(seeds[k * each : (k + 1) * each]) for k in range(cells)]


def _moved(path: Path, by: Tensor) -> Path:
    return lambda time: path(time) + by
