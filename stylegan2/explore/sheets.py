"""Contact sheets that show what a network does: style mixing, truncation, noise, layers, classes, directions."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import torch
from PIL import Image
from torch import Tensor

from stylegan2.images import to_picture
from stylegan2.networks.generator import Generator
from stylegan2.networks.layers import Noise
from stylegan2.registry import check_choices

from .directions import Directions, Edit
from .film import truncation_centers
from .latents import image_of, labels_on, latent, truncated, w_of
from .tables import check_size, table

Progress = Callable[[Iterator[Image.Image | None], int], Iterator[Image.Image | None]]
"""Passes on pictures, of which there are so many, and shows how many have come."""

DRAWS = 20
"""Number of images with random noise whose standard deviation a sheet of noise shows."""


def unwatched(cells: Iterator[Image.Image | None], total: int) -> Iterator[Image.Image | None]:
    """Show no progress."""
    return cells


@dataclass(frozen=True, kw_only=True)
class Look:
    """How the images of a sheet are made of their seeds."""

    network: Generator
    label: Tensor = field(default_factory=lambda: torch.zeros(0))
    """(num_classes,)."""

    psi: float = 1.0
    cutoff: int | None = None
    noise: Noise = "const"
    centers: Tensor | None = None
    """(K, w_dim), the nearest of which a seed is truncated towards. None: the mean of w."""

    edits: Sequence[Edit] = field(default_factory=tuple)

    def __post_init__(self) -> None:
        check_choices(self)

    def ws(self, seed: int, label: Tensor | None = None, psi: float | None = None) -> Tensor:
        """The ws (num_ws, w_dim) of a seed."""
        labels = labels_on(self.network, (self.label if label is None else label)[None], 1)
        w = w_of(self.network, latent(self.network, seed), labels)
        center = truncation_centers(self.network, w, labels, self.centers)
        ws = w[:, None].repeat(1, self.network.num_ws, 1)
        ws = truncated(ws, center, self.psi if psi is None else psi, self.cutoff)
        for edit in self.edits:
            ws = edit.applied(ws)
        return ws[0]

    def picture(self, ws: Tensor, noise: Noise | None = None, seed: int = 0) -> Image.Image:
        return to_picture(image_of(self.network, ws, noise or self.noise, seed))

    def check(self, rows: int, columns: int) -> None:
        """Raises InputError if a sheet of so many images is too large."""
        height, width = self.network.image_size
        check_size(rows, columns, width, height)

    def laid_out(
        self,
        rows: Sequence[str],
        columns: Sequence[str],
        cell: Callable[[int, int], Image.Image | None],
        corner: str = "",
        progress: Progress = unwatched,
    ) -> Image.Image:
        """The table of the pictures `cell(row, column)`, which pass through `progress` with their number.

        Raises:
            InputError: It would be too large.
        """
        self.check(len(rows), len(columns))
        cells = (cell(i, j) for i in range(len(rows)) for j in range(len(columns)))
        return table(progress(cells, len(rows) * len(columns)), rows, columns, corner)


def mixing(
    look: Look, rows: Sequence[int], columns: Sequence[int], layers: range, progress: Progress = unwatched
) -> Image.Image:
    """Style mixing (SG1 §3.1): the seed of the row, with the layers of the seed of the column.

    The first row and the first column are the seeds themselves.
    """
    look.check(len(rows) + 1, len(columns) + 1)
    own, theirs = [look.ws(seed) for seed in rows], [look.ws(seed) for seed in columns]

    def cell(row: int, column: int) -> Image.Image | None:
        if row == 0:
            return None if column == 0 else look.picture(theirs[column - 1])
        ws = own[row - 1].clone()
        if column:
            ws[list(layers)] = theirs[column - 1][list(layers)]
        return look.picture(ws)

    corner = f"layers {layers.start}-{layers.stop - 1} of columns"
    names = ["", *map(str, columns)]
    return look.laid_out(["", *map(str, rows)], names, cell, corner, progress)


def truncation(
    look: Look, seeds: Sequence[int], psis: Sequence[float], progress: Progress = unwatched
) -> Image.Image:
    """Every seed (row) with every truncation psi (column), SG1 app. B."""

    def cell(row: int, column: int) -> Image.Image:
        return look.picture(look.ws(seeds[row], psi=psis[column]))

    names = [f"ψ = {psi:.2g}" for psi in psis]
    return look.laid_out([str(seed) for seed in seeds], names, cell, "seed", progress)


def noises(look: Look, seeds: Sequence[int], draws: int = 4, progress: Progress = unwatched) -> Image.Image:
    """Every seed without noise, with the stored noise, with random noise, and what the noise changes (SG1 §3.2).

    The last column is the standard deviation of every pixel over 20 draws, averaged over the channels and divided by
    its largest value in this image, which the name of the row gives in units of the range -1..1.
    """
    look.check(len(seeds), draws + 3)
    ws = [look.ws(seed) for seed in seeds]
    largest: list[float] = []

    def deviation(rows: Tensor) -> Image.Image:
        found = _deviation(look, rows)
        largest.append(float(found.max()))
        return to_picture((found / max(largest[-1], 1e-12) * 2 - 1)[None])

    deviations = list(progress(map(deviation, ws), len(ws)))  # takes longest, and the names of rows need it
    modes: list[tuple[str, Noise]] = [("none", "none"), ("stored", "const")]
    modes += [(f"random {k}", "random") for k in range(draws)]

    def cell(row: int, column: int) -> Image.Image | None:
        if column < len(modes):
            return look.picture(ws[row], modes[column][1], column)
        return deviations[row]

    names = [f"{seed}  (σ to {most:.2g})" for seed, most in zip(seeds, largest)]
    columns = [*(name for name, _ in modes), "deviation"]
    return look.laid_out(names, columns, cell, "seed", progress)


def layers(
    look: Look, rows: Sequence[int], columns: Sequence[int], progress: Progress = unwatched
) -> Image.Image:
    """What each layer decides: the image of a row's seed, with one layer at a time taken from the column's seed.

    There is a row for each pair of seeds, and a column for each layer.
    """
    look.check(len(rows), look.network.num_ws + 2)
    pairs = [(a, columns[k % len(columns)]) for k, a in enumerate(rows)]
    own, theirs = [look.ws(a) for a, _ in pairs], [look.ws(b) for _, b in pairs]
    count = look.network.num_ws

    def cell(row: int, column: int) -> Image.Image:
        ws = own[row].clone()
        if column == count + 1:
            ws = theirs[row]
        elif column:
            ws[column - 1] = theirs[row][column - 1]
        return look.picture(ws)

    names = ["none", *(f"layer {k}" for k in range(count)), "all"]
    return look.laid_out([f"{a} ← {b}" for a, b in pairs], names, cell, "seeds", progress)


def classes(
    look: Look, seeds: Sequence[int], labels: Sequence[tuple[str, Tensor]], progress: Progress = unwatched
) -> Image.Image:
    """Every seed (row) with every label (column), given as name and vector (num_classes,)."""

    def cell(row: int, column: int) -> Image.Image:
        return look.picture(look.ws(seeds[row], labels[column][1]))

    names = [name for name, _ in labels]
    return look.laid_out([str(seed) for seed in seeds], names, cell, "seed", progress)


def edited(
    look: Look,
    seed: int,
    directions: Directions,
    strengths: Sequence[float],
    most: int = 10,
    progress: Progress = unwatched,
) -> Image.Image:
    """A seed moved along each of the first directions (row) by every strength (column)."""
    ws, names = look.ws(seed), list(directions.vectors)[:most]

    def cell(row: int, column: int) -> Image.Image:
        edit = Edit(directions.vectors[names[row]], directions.rows, strengths[column], strengths[column])
        return look.picture(edit.applied(ws[None])[0])

    columns = [f"{strength:+.3g}" if strength else "0" for strength in strengths]
    return look.laid_out(names, columns, cell, f"seed {seed}", progress)


def _deviation(look: Look, ws: Tensor) -> Tensor:
    """The standard deviation of pixels over random noise, averaged over channels: (H, W)."""
    images = torch.stack([image_of(look.network, ws, "random", seed) for seed in range(DRAWS)])
    return images.std(dim=0).mean(dim=0)
