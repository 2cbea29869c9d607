"""The figures of a report.

Each public function that takes a summary draws one figure, or returns None if there is nothing to show. The first
line of its docstring is the heading in the report, and the rest is the text below the heading.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, Locator, LogLocator, MaxNLocator, NullLocator
from PIL import Image

from stylegan2.ablation.plan.study import Run
from stylegan2.ablation.plan.variants import DEFAULT
from stylegan2.ablation.statistics.summary import Row, Summary
from stylegan2.sizes import pair

INK, FAINT = "#22272b", "#c9ced1"
COLORS = {
    "needed": "#c0392b",
    "helps": "#e08e0b",
    "equivalent": "#1e8449",
    "no detectable effect": "#5d7783",
    "undecided": "#8d7b52",
    "better without": "#2471a3",
    "not known": "#b8c0c2",
    "control": INK,
}
"""Colors of the verdicts."""

LINES = ("#c0392b", "#2471a3", "#1e8449", "#8e44ad", "#d68910", "#117a65", "#5d4037", "#ad1457", "#00838f")
STYLE: dict[Any, Any] = {
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#8a9296",
    "axes.labelcolor": INK,
    "axes.titlesize": 10.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "xtick.color": "#5d666b",
    "ytick.color": "#5d666b",
    "svg.fonttype": "path",
}
PANELS = 4
"""Panels per line in a figure with one panel per variant."""


@dataclass(frozen=True)
class Picture:
    """A figure with its heading and the text below the heading."""

    heading: str
    about: str
    figure: Figure


def draw(summary: Summary) -> dict[str, Picture]:
    """All figures of a study by their names, in the order of the report."""
    pictures = {}
    with matplotlib.rc_context(STYLE):
        for plot in FIGURES:
            figure = plot(summary)
            if figure is not None:
                heading, _, about = (inspect.getdoc(plot) or "").partition("\n\n")
                pictures[plot.__name__] = Picture(heading.rstrip("."), " ".join(about.split()), figure)
    return pictures


def label(row: Row) -> str:
    """The label of a row, such as "residual_gain → 1", or the name alone if it contains the value."""
    name, value = row.variant.name, row.variant.value
    return name if not value or "=" in name or name.endswith(f"_{value}") else f"{name} → {value}"


def effects(summary: Summary) -> Figure | None:
    """What each scaling is worth.

    Large dots are geometric means over seeds, lines are intervals that hold together in 95 % of studies, and strokes
    are pairs of runs with one seed. The scale is logarithmic.
    """
    rows = [row for row in summary.compared if row.verdict != "not known"][::-1]
    if not rows or summary.swept:
        return None
    figure = Figure(figsize=(9.5, 0.36 * len(rows) + 1.3), layout="constrained")
    axes = figure.subplots()
    for y, row in enumerate(rows):
        c, color = row.comparison, COLORS[row.verdict]
        if c is None or math.isnan(c.low):
            axes.text(1.02, y, row.ended.split(":")[0], color=color, va="center", fontweight="bold")
            continue
        axes.plot([c.low, c.high], [y, y], color=color, linewidth=2, alpha=0.55, solid_capstyle="round")
        axes.plot(c.ratio, y, "o", color=color, markersize=8, zorder=3)
        axes.plot(c.ratios, [y] * len(c.ratios), "|", color=INK, markersize=9)
    axes.axvline(1, color=INK, linewidth=1, zorder=0)
    axes.set_xscale("log")
    _plain_numbers(axes.xaxis)
    axes.set_yticks(range(len(rows)), [label(row) for row in rows])
    axes.tick_params(axis="y", length=0, labelcolor=INK)
    axes.set_ylim(-0.7, len(rows) - 0.3)
    axes.grid(axis="x", color="#eceff0")
    axes.set_axisbelow(True)
    axes.set_xlabel(f"{summary.measures[0].name}, relative to the control (right: worse without the scaling)")
    for verdict in dict.fromkeys(row.verdict for row in reversed(rows)):
        axes.plot([], [], "o", color=COLORS[verdict], label=verdict)
    axes.plot([], [], "|", color=INK, label="one seed")
    figure.legend(loc="outside upper right", frameon=False, ncols=5)
    return figure


def sweep(summary: Summary) -> Figure | None:
    """The constant tried.

    Small dots are single seeds. Large dots are geometric means over seeds, with 95 % intervals. The signal is
    measured before training.
    """
    if not summary.swept:
        return None
    pairs, default = summary.by_value(), summary.default_value
    figure = Figure(figsize=(11, 3.7), layout="constrained")
    quality, rms, logits = figure.subplots(1, 3)
    shown = [(value, row.level) for value, row in pairs if row.level and not row.ended]
    for value, level in shown:
        quality.plot([value] * len(level.values), level.values, ".", color=FAINT, markersize=8)
        quality.plot([value, value], [level.low, level.high], color=LINES[1], alpha=0.5, linewidth=2)
    quality.plot([value for value, _ in shown], [level.mean for _, level in shown], "o-", color=LINES[1])
    for value, row in pairs:
        if row.ended:
            quality.text(value, 0.97, f"{row.ended.split(' ')[0]} ", color=LINES[0], rotation=90, va="top",
                         ha="center", transform=quality.get_xaxis_transform())  # fmt: skip
    signals = [(value, row.signal) for value, row in pairs if row.signal]
    values = [value for value, _ in signals]
    rms.plot(values, [list(s.discriminator.values())[-4] for _, s in signals], "o-", color=LINES[2])
    logits.plot(values, [s.logits_std for _, s in signals], "o-", color=LINES[2])
    quality.set_title(f"{summary.measures[0].name.capitalize()} (lower is better)")
    rms.set_title("Signal: rms at D's last block")
    logits.set_title("Signal: logits' standard deviation")
    for axes in (quality, rms, logits):
        axes.set_xlabel(summary.swept)
        axes.set_yscale("log")
        _plain_numbers(axes.yaxis)
        if not math.isnan(default):
            axes.axvline(default, color=LINES[0], linewidth=1, linestyle="--")
            axes.text(default, 0.02, f" default {default:.4g}", color=LINES[0], fontsize=8.5,
                      transform=axes.get_xaxis_transform())  # fmt: skip
    return figure


def tile(path: Path, size: int | tuple[int, int], columns: int, rows: int) -> Image.Image:
    """The first columns × rows images of a sample grid, whose images have this size."""
    sheet, (height, width) = Image.open(path).convert("RGB"), pair(size)
    return sheet.crop((0, 0, min(columns * width, sheet.width), min(rows * height, sheet.height)))


@dataclass(frozen=True, kw_only=True)
class SampleGrids:
    """The sample grids of a run over training, or the training images."""

    label: str
    files: dict[float, Path]
    """Files by kimg, in the order of training. There is at least one."""
    row: Row | None = None
    """None: the training images."""


def sample_grids(summary: Summary) -> list[SampleGrids]:
    """The training images, and the sample grids of each variant with seed 0. All grids use the same latents."""

    def folder(name: str) -> Path:
        return summary.study.folder(Run(variant=name, seed=0)) / "samples"

    found = []
    if (reals := folder(DEFAULT) / "reals.png").is_file():
        found.append(SampleGrids(label="training images", files={0.0: reals}))
    for row in summary.rows:
        files = {
            float(p.stem.removeprefix("kimg")): p for p in sorted(folder(row.variant.name).glob("kimg*.png"))
        }
        if files:
            found.append(SampleGrids(label=label(row), files=files, row=row))
    return found


def gallery(summary: Summary) -> Figure | None:
    """Samples from the same latents.

    The samples are from seed 0, at the end of training or the last ones before it diverged. The verdicts are on the
    distances of all seeds, which single pictures can contradict.
    """
    shown = sample_grids(summary)
    if not shown:
        return None
    figure, panels = _panels(len(shown), height=1.72)
    for axes, grids in zip(panels, shown):
        path = list(grids.files.values())[-1]
        axes.imshow(tile(path, summary.base["data"]["resolution"], 6, 3), interpolation="nearest")
        axes.set_title(
            _wrapped(grids.label), fontsize=8, color=COLORS[grids.row.verdict] if grids.row else INK
        )
        axes.set_axis_off()
    return figure


def training(summary: Summary) -> Figure | None:
    """Over training.

    Each line is the quality distance of one seed. The control is gray.
    """
    rows, curves = summary.compared, {row.variant.name: row.curves for row in summary.rows}
    if not any(curve for seeds in curves.values() for curve in seeds):
        return None
    figure, panels = _panels(len(rows), height=2.0, share=True)
    for axes, row in zip(panels, rows):
        lines = [(curve, FAINT, 2.5) for curve in curves[row.variant.control or DEFAULT]]
        lines += [(curve, COLORS[row.verdict], 1.8) for curve in row.curves]
        for curve, color, width in lines:
            if curve:
                axes.plot(*zip(*curve), "-", color=color, linewidth=width, marker=".", markersize=5)
        axes.set_yscale("log")
        _plain_numbers(axes.yaxis)
        axes.set_title(_wrapped(label(row)), fontsize=8)
    figure.supxlabel("kimg", fontsize=10)
    figure.supylabel("quality distance (lower is better)", fontsize=10)
    return figure


def penalties(summary: Summary) -> Figure | None:
    """Penalties over training.

    The runs have seed 0. Variants that differ from the default by more than a factor of 3 are named. Lines are
    cut off at a factor of 100.
    """
    study = summary.study
    numbers = {r.variant.name: study.numbers(Run(variant=r.variant.name, seed=0)) for r in summary.rows}
    figure = Figure(figsize=(11, 4.2), layout="constrained")
    colors: dict[str, str] = {}
    titles = {"r1": "R1 penalty", "path_length_mean": "Running mean of the path length"}
    for axes, (key, title) in zip(figure.subplots(1, 2), titles.items()):
        series = {
            name: [(r["kimg"], r[key]) for r in rows if r.get(key, 0) > 0] for name, rows in numbers.items()
        }
        if not series[DEFAULT]:
            return None
        _lines_beside_default(axes, series, 3.0, colors)
        axes.set_title(title)
        axes.set_xlabel("kimg")
    return figure


def depth(summary: Summary) -> Figure | None:
    """Over depth, before training.

    The lines are the rms of the signal, averaged over seeds, with real images as input of D and latents as input
    of G. Variants that differ from the default by more than a factor of 1.5 are named. Lines are cut off at a
    factor of 100.
    """
    signals = {row.variant.name: row.signal for row in summary.rows if row.signal}
    if DEFAULT not in signals:
        return None
    figure = Figure(figsize=(11, 4.8), layout="constrained")
    colors: dict[str, str] = {}
    titles = {
        "discriminator": "Discriminator, from image to logit",
        "generator": "Generator, from 4×4 to image",
    }
    for axes, (network, title) in zip(figure.subplots(1, 2), titles.items()):
        layers = list(getattr(signals[DEFAULT], network))
        series = {
            name: [(layers.index(k), rms) for k, rms in getattr(signal, network).items() if k in layers]
            for name, signal in signals.items()
        }
        _lines_beside_default(axes, series, 1.5, colors)
        axes.set_xticks(range(len(layers)), layers, rotation=40, ha="right", fontsize=8.5)
        axes.set_title(title)
        axes.set_ylabel("rms at initialization")
    return figure


FIGURES: Sequence[Callable[[Summary], Figure | None]] = (sweep, effects, gallery, training, penalties, depth)


def _panels(n: int, height: float, share: bool = False) -> tuple[Figure, list[Axes]]:
    """A figure of n panels, with PANELS panels per line. A line is `height` inches high."""
    lines = math.ceil(n / PANELS)
    figure = Figure(figsize=(11, height * lines + 0.3), layout="constrained")
    panels = list(figure.subplots(lines, PANELS, squeeze=False, sharex=share, sharey=share).flat)
    for axes in panels[n:]:
        axes.set_axis_off()
    return figure, panels


def _lines_beside_default(
    axes: Axes, series: Mapping[str, Sequence[tuple[float, float]]], beyond: float, colors: dict[str, str]
) -> None:
    """Draw the default in black, series that differ from it by more than the factor `beyond` in color, others gray.

    Lines are cut off at a factor of 100 from the default, because they would flatten the others.
    """
    reference = dict(series[DEFAULT])

    def departure(name: str) -> float:
        pairs = [(y, reference[x]) for x, y in series[name] if x in reference]
        return max((abs(math.log(y / r)) for y, r in pairs), default=0.0)

    far = sorted((name for name in series if departure(name) > math.log(beyond)), key=departure, reverse=True)
    for name, points in series.items():
        if points and name not in far and name != DEFAULT:
            axes.plot(*zip(*points), color=FAINT, linewidth=1)
    for name in far[:6]:
        color = colors.setdefault(name, LINES[len(colors) % len(LINES)])
        axes.plot(*zip(*series[name]), color=color, linewidth=1.7, marker=".", label=name)
    axes.plot(*zip(*series[DEFAULT]), color=INK, linewidth=2.2, label=DEFAULT)
    axes.set_yscale("log")
    low, high = axes.get_ylim()
    axes.set_ylim(max(low, min(reference.values()) / 100), min(high, max(reference.values()) * 100))
    _plain_numbers(axes.yaxis)
    for line in axes.lines:
        if np.min(line.get_ydata()) > axes.get_ylim()[1]:
            line.set_label(f"{line.get_label()} (above)")
    axes.legend(frameon=False, fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.22), ncols=3)


def _plain_numbers(axis: Axis) -> None:
    """Label a log axis without exponents, such as 200, 500, 1000. Every axis gets at least two ticks.

    Long axes have only powers of ten. Short ones, such as 1.1 to 1.4, have equal steps.
    """
    low, high = axis.get_view_interval()
    locator: Locator = LogLocator(subs=(1, 2, 5) if low > 0 and high / low < 300 else (1,), numticks=12)
    if sum(low <= tick <= high for tick in locator.tick_values(max(low, 1e-300), high)) < 3:
        locator = MaxNLocator(nbins=5)
    axis.set_major_locator(locator)
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_locator(NullLocator())


def _wrapped(text: str) -> str:
    """The text on two lines if it would reach into the next panel."""
    return text if len(text) < 36 else text.replace(" → ", "\n→ ")
