"""Figures with their provenance, CSV files of them, and tables that do not mix unlike ones."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Literal

from stylegan2.files import replacing, text_table


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One value of one metric for one checkpoint, and all that it depends on."""

    checkpoint: str
    """The file. Empty: the figure was measured during training."""
    kimg: float
    """Thousands of images that the generator was trained on."""
    name: str
    """The metric's name in the registry, such as fid."""
    column: str
    """What a column of numbers is called, such as fid, or frechet_distance_efficientnet_lite0."""
    title: str
    """What a table calls it, such as "FID", or "Fréchet distance, EfficientNet-Lite0 features"."""
    better: Literal["lower", "higher"]
    """Which figures are those of better images."""
    value: float
    """The mean over repeats."""
    spread: float
    """The standard deviation over repeats. NaN: there is only one."""
    images: int
    """Number of generated images for each repeat."""
    reals: int
    """Number of real images."""
    reference: str
    """Hash of the real images' pixels."""
    source: str
    """Types of the real images' files, such as "png"."""
    resize: str
    """How images were brought to the sizes of generator and feature network."""
    features: str
    """The feature network. Empty: the metric takes images."""
    weights: str
    """SHA-256 of the feature network's weights. Empty: the metric takes images."""
    seed: int
    """Seed of the first repeat's latents."""
    repeats: int
    """Number of repeats, each with the next seed."""

    @property
    def key(self) -> tuple[object, ...]:
        """What two figures must have in common to be compared. They may differ in their seeds."""
        return tuple(getattr(self, name) for name in KEY)


KEY = ("column", "images", "reals", "reference", "source", "resize", "features", "weights")


def read_figures(path: Path) -> list[Figure]:
    """The figures of a CSV file. None if there is no such file. Rows that another version wrote are left out."""
    if not path.is_file():
        return []
    found = []
    with path.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            types = {"float": float, "int": int}
            try:
                values = {f.name: types.get(str(f.type), str)(row[f.name]) for f in fields(Figure)}
                found.append(Figure(**values))
            except (KeyError, TypeError, ValueError):
                continue
    return found


def write_figures(path: Path, figures: Iterable[Figure]) -> None:
    """Write figures to a CSV file, atomically. A file of that name is replaced."""
    with replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [f.name for f in fields(Figure)])
        writer.writeheader()
        writer.writerows(map(asdict, figures))


def merged(old: Iterable[Figure], new: Iterable[Figure]) -> list[Figure]:
    """Both, without those of the old ones that a new one repeats."""
    new = list(new)
    repeated = {(f.checkpoint, f.kimg, f.key, f.seed, f.repeats) for f in new}
    return [f for f in old if (f.checkpoint, f.kimg, f.key, f.seed, f.repeats) not in repeated] + new


def best(figures: Sequence[Figure]) -> Figure | None:
    """The best of some figures of one key. None if none is finite."""
    finite = [f for f in figures if math.isfinite(f.value)]
    if not finite:
        return None
    return (min if finite[0].better == "lower" else max)(finite, key=lambda f: f.value)


def tables(figures: Sequence[Figure]) -> str:
    """Tables of figures for a terminal: a row for each checkpoint, a column for each metric.

    Figures that were measured on something else stand in a table of their own, and the text says so.
    """
    groups: dict[tuple[object, ...], list[Figure]] = {}
    for figure in figures:
        groups.setdefault((figure.images, figure.reals, figure.reference, figure.source), []).append(figure)
    blocks = [_table(group) for group in groups.values()]
    if len(blocks) > 1:
        blocks.insert(
            0,
            f"These are {len(blocks)} tables, because their figures were measured on different images. Figures of "
            "different tables cannot be compared.",
        )
    return "\n\n".join(blocks)


def _table(figures: Sequence[Figure]) -> str:
    columns = list(dict.fromkeys(f.key for f in figures))
    titles = {f.key: f.title for f in figures}
    rows = list(dict.fromkeys((f.checkpoint, f.kimg) for f in figures))
    cells = {(f.checkpoint, f.kimg, f.key): f for f in figures}
    marked = {found for key in columns if (found := best([f for f in figures if f.key == key]))}
    head = ["checkpoint", "kimg", *(f"({i})" for i in range(1, len(columns) + 1))]
    body = [
        [row[0], f"{row[1]:g}", *(_cell(cells.get((*row, key)), marked, len(rows)) for key in columns)]
        for row in rows
    ]
    notes = [f"({i}) {titles[key]} ({_better(key, figures)} is better)" for i, key in enumerate(columns, 1)]
    notes += dict.fromkeys(_network(f) for f in figures)
    one = figures[0]
    notes.append(
        f"{one.images:,} generated images (psi 1), {one.reals:,} real images "
        f"({one.source}, pixels {one.reference[:8]}), seed {one.seed}"
        f"{f', mean ± deviation of {one.repeats} repeats' if one.repeats > 1 else ''}"
    )
    return "\n".join([text_table(head, body), "", *notes])


def _cell(figure: Figure | None, marked: set[Figure], rows: int) -> str:
    if figure is None:
        return ""
    spread = "" if math.isnan(figure.spread) else f" ± {figure.spread:.2g}"
    return f"{figure.value:.5g}{spread}{' *' if rows > 1 and figure in marked else ''}"


def _better(key: tuple[object, ...], figures: Sequence[Figure]) -> str:
    return next(f.better for f in figures if f.key == key)


def _network(figure: Figure) -> str:
    if not figure.features:
        return f"{figure.title}: images by {figure.resize}"
    return f"{figure.features}: weights {figure.weights[:8]}, images by {figure.resize}"
