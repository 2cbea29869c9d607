"""The curves of runs over thousands of images, one panel for each kind of number."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from stylegan2.html_page import svg

from .record import RunRecord

COLORS = ("#c0392b", "#2471a3", "#1e8449", "#8e44ad", "#d68910", "#117a65", "#5d4037", "#ad1457")
DASHES = ("-", "--", ":")
POINTS = 400
"""Most points of a curve. Longer ones are averaged over equal numbers of rows."""

STYLE: dict[Any, Any] = {
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#8a9296",
    "axes.titlelocation": "left",
    "axes.titleweight": "bold",
    "axes.titlesize": 11,
    "svg.fonttype": "path",
}


@dataclass(frozen=True)
class Panel:
    """A chart of columns of metrics.csv."""

    title: str
    columns: tuple[str, ...]
    about: str
    log: bool = False
    line: float | None = None
    """Height of a horizontal line that readers compare with."""


PANELS = (
    Panel("Losses", ("loss_g", "loss_d"), "G's and D's adversarial losses. They are no measure of quality."),
    Panel(
        "Penalties", ("r1", "path_length"), "The penalties, without the factor of lazy regularization.", True
    ),
    Panel(
        "D's logits",
        ("logits_real", "logits_held_out", "logits_fake"),
        "D's mean logits for training images, for held-out images and for generated ones. If those for held-out "
        "images fall to those for generated ones, D overfits.",
    ),
    Panel(
        "Overfitting",
        ("r_t", "r_v"),
        "r_t is the mean sign of D's logits for training images. ADA keeps it near its target, 0.6. r_v is the "
        "place of the held-out images between training images (0) and generated ones (1).",
        line=0.6,
    ),
    Panel("Augmentation", ("augment_p",), "The probability p of each augmentation."),
    Panel("Speed", ("kimg_per_second",), "Thousands of images per second, without evaluation."),
)


def charts(runs: Sequence[RunRecord]) -> dict[str, tuple[str, str]]:
    """(text, SVG) of each panel that has numbers, by its title. Metrics come first, each in a panel of its own."""
    names = dict.fromkeys(name for run in runs for name in run.columns if name.startswith("metric_"))
    metrics = [
        Panel(name.removeprefix("metric_"), (name,), "A metric of the sampling generator.") for name in names
    ]
    drawn = {}
    with matplotlib.rc_context(STYLE):
        for panel in (*metrics, *PANELS):
            figure = _draw(panel, runs)
            if figure is not None:
                drawn[panel.title] = (panel.about, svg(figure))
    return drawn


def _draw(panel: Panel, runs: Sequence[RunRecord]) -> Figure | None:
    figure = Figure(figsize=(6.4, 3.0))
    axes = figure.add_subplot()
    for i, run in enumerate(runs):
        for j, column in enumerate(panel.columns):
            color = COLORS[i % len(COLORS)] if len(runs) > 1 else COLORS[j]
            label = ", ".join([run.name] * (len(runs) > 1) + [column] * (len(panel.columns) > 1))
            _curve(axes, run, column, color=color, dash=DASHES[j] if len(runs) > 1 else "-", label=label)
    if not axes.lines:
        return None
    if panel.log:
        axes.set_yscale("log")
    if panel.line is not None:
        axes.axhline(panel.line, color="#8a9296", linewidth=0.8, linestyle=":")
    axes.set_title(panel.title)
    axes.set_xlabel("kimg")
    if len(axes.lines) > 1:
        axes.legend(frameon=False, fontsize=8, loc="best")
    return figure


def _curve(axes: Axes, run: RunRecord, column: str, color: str, dash: str, label: str) -> None:
    if column not in run.columns or "kimg" not in run.columns:
        return
    x, y = np.array(run.columns["kimg"]), np.array(run.columns[column])
    known = np.isfinite(x) & np.isfinite(y)
    x, y = x[known], y[known]
    if not len(x):
        return
    step = -(-len(x) // POINTS)
    starts = np.arange(0, len(x), step)
    counts = np.diff([*starts, len(x)])
    x, y = (np.add.reduceat(values, starts) / counts for values in (x, y))
    marker = "o" if len(x) < 12 else ""
    axes.plot(x, y, dash, color=color, label=label or column, linewidth=1.3, marker=marker, markersize=3)
