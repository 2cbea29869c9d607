"""The pictures of a report."""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator
from PIL import Image

from stylegan2.ablation.summary import Row, Summary
from stylegan2.ablation.variants import DEFAULT

COLORS = {
    "needed": "#c0392b",
    "helps": "#e08e0b",
    "no detectable effect": "#5d7783",
    "better without": "#2471a3",
    "not known": "#b8c0c2",
}
"""Of the verdicts."""

INK, FAINT = "#22272b", "#c9ced1"
LINES = (
    "#c0392b",
    "#2471a3",
    "#1e8449",
    "#8e44ad",
    "#d68910",
    "#117a65",
    "#5d4037",
    "#ad1457",
    "#00838f",
    "#6a7b00",
)
STYLE = {
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


def draw(plot: Callable[[Summary], Figure | None], summary: Summary) -> Figure | None:
    """A figure in the report's style; None if there is nothing to show."""
    import matplotlib

    with matplotlib.rc_context(STYLE):
        return plot(summary)


def svg(figure: Figure) -> str:
    """An <svg> element to stand in a page."""
    file = io.StringIO()
    figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None}, bbox_inches="tight")
    text = file.getvalue()
    return text[text.index("<svg") :]


def effects(summary: Summary) -> Figure | None:
    """Every field's quality distance over its control's: seeds, mean, interval."""
    rows = [row for row in summary.compared if row.comparison.verdict != "not known"]
    if not rows or summary.is_sweep:
        return None
    figure = Figure(figsize=(9.5, 0.36 * len(rows) + 1.3), layout="constrained")
    axes = figure.subplots()
    levels = {row.variant.name: row.level for row in summary.rows}
    for y, row in enumerate(reversed(rows)):
        c, color = row.comparison, COLORS[row.comparison.verdict]
        if math.isnan(c.ratio):
            axes.text(1.02, y, row.ended.split(":")[0], color=color, va="center", fontweight="bold")
            continue
        axes.plot([c.low, c.high], [y, y], color=color, linewidth=2, alpha=0.55, solid_capstyle="round")
        axes.plot(c.ratio, y, "o", color=color, markersize=8, zorder=3)
        ours, theirs = row.level.values, levels[row.variant.control].values
        if len(ours) == len(theirs):
            axes.plot([a / b for a, b in zip(ours, theirs)], [y] * len(ours), "|", color=INK, markersize=9)
    axes.axvline(1, color=INK, linewidth=1, zorder=0)
    axes.set_xscale("log")
    _plain_log(axes.xaxis)
    axes.set_yticks(range(len(rows)), [label(row) for row in reversed(rows)])
    axes.tick_params(axis="y", length=0, labelcolor=INK)
    axes.set_ylim(-0.7, len(rows) - 0.3)
    axes.grid(axis="x", color="#eceff0")
    axes.set_axisbelow(True)
    axes.set_xlabel("quality distance, relative to the control (right: worse without the scaling)")
    for verdict in dict.fromkeys(row.comparison.verdict for row in rows):
        axes.plot([], [], "o", color=COLORS[verdict], label=verdict)
    axes.plot([], [], "|", color=INK, label="one seed")
    figure.legend(loc="outside upper right", frameon=False, ncols=5)
    return figure


def training(summary: Summary) -> Figure | None:
    """Quality distance over training, a panel a variant, the control in grey."""
    rows, curves = summary.compared, summary.curves
    if not any(curve for seeds in curves.values() for curve in seeds):
        return None
    columns = 4
    lines = math.ceil(len(rows) / columns)
    figure = Figure(figsize=(11, 2.0 * lines + 0.5), layout="constrained")
    panels = figure.subplots(lines, columns, sharex=True, sharey=True, squeeze=False)
    for axes, row in zip(panels.flat, rows):
        for name, color, width in (
            (row.variant.control, FAINT, 2.5),
            (row.variant.name, COLORS[row.comparison.verdict], 1.8),
        ):
            for curve in filter(None, curves[name]):
                axes.plot(*zip(*curve), "-", color=color, linewidth=width, marker=".", markersize=5)
        axes.set_yscale("log")
        _plain_log(axes.yaxis)
        axes.set_title(_wrapped(label(row)), fontsize=8)
    for axes in panels.flat[len(rows) :]:
        axes.set_axis_off()
    figure.supxlabel("kimg", fontsize=10)
    figure.supylabel("quality distance (lower is better)", fontsize=10)
    return figure


def penalties(summary: Summary) -> Figure | None:
    """R1 and the mean path length over training, seed 0; what leaves the default's range is named."""
    metrics = {
        row.variant.name: summary.study.metrics(run)
        for row in summary.rows
        for run in summary.study.runs
        if run.variant == row.variant.name and run.seed == 0
    }
    if not metrics.get(DEFAULT):
        return None
    figure, colors = Figure(figsize=(11, 4.2), layout="constrained"), {}
    for axes, (key, title) in zip(
        figure.subplots(1, 2), (("r1", "R1 penalty"), ("path_length_mean", "Running mean of the path length"))
    ):
        series = {
            name: [(r["kimg"], r[key]) for r in rows if r.get(key, 0) > 0] for name, rows in metrics.items()
        }
        _lines(axes, {name: points for name, points in series.items() if points}, 3.0, colors)
        axes.set_title(title)
        axes.set_xlabel("kimg")
    return figure


def depth(summary: Summary) -> Figure:
    """The signal's rms over depth at initialisation, real images into D and latents into G."""
    figure, colors = Figure(figsize=(11, 4.8), layout="constrained"), {}
    for axes, (part, title) in zip(
        figure.subplots(1, 2),
        (
            ("discriminator", "Discriminator, from image to logit"),
            ("generator", "Generator, from 4×4 to image"),
        ),
    ):
        found = {row.variant.name: getattr(row.signal, part) for row in summary.rows}
        names = list(found[DEFAULT])
        series = {
            name: [(names.index(layer), rms) for layer, rms in signal.items() if layer in names]
            for name, signal in found.items()
        }
        _lines(axes, series, 1.5, colors)
        axes.set_xticks(range(len(names)), names, rotation=40, ha="right", fontsize=8.5)
        axes.set_title(title)
        axes.set_ylabel("rms at initialisation")
    return figure


def sweep(summary: Summary) -> Figure | None:
    """Quality, and the signal at initialisation, against the constant's value."""
    if not summary.is_sweep:
        return None
    default, field = summary.default_value(), summary.compared[0].variant.key.split(".")[-1]
    pairs = [(float(row.variant.value), row) for row in summary.compared]
    pairs += [] if math.isnan(default) else [(default, summary.default)]
    pairs.sort(key=lambda pair: pair[0])
    figure = Figure(figsize=(11, 3.7), layout="constrained")
    quality, *others = figure.subplots(1, 3)
    shown = [(value, row.level) for value, row in pairs if row.level and not row.ended]
    for value, level in shown:
        quality.plot([value] * len(level.values), level.values, ".", color=FAINT, markersize=8)
        quality.plot([value, value], [level.low, level.high], color=LINES[1], alpha=0.5, linewidth=2)
    quality.plot([value for value, _ in shown], [level.mean for _, level in shown], "o-", color=LINES[1])
    for value, row in pairs:
        if row.ended:
            quality.text(value, 0.97, f"{row.ended.split(' ')[0]} ", color=LINES[0], rotation=90, va="top",
                         ha="center", transform=quality.get_xaxis_transform())  # fmt: skip
    quality.set_title("Quality distance (lower is better)")
    measures = (
        ("Signal: rms at D's last block", lambda s: list(s.discriminator.values())[-4]),
        ("Signal: logits' standard deviation", lambda s: s.logits_std),
    )
    for axes, (title, measure) in zip(others, measures):
        axes.plot(
            [value for value, _ in pairs], [measure(row.signal) for _, row in pairs], "o-", color=LINES[2]
        )
        axes.set_title(title)
    for axes in (quality, *others):
        axes.set_xlabel(field)
        axes.set_yscale("log")
        _plain_log(axes.yaxis)
        if not math.isnan(default):
            axes.axvline(default, color=LINES[0], linewidth=1, linestyle="--")
            axes.text(default, 0.02, f" default {default:.4g}", color=LINES[0], fontsize=8.5,
                      transform=axes.get_xaxis_transform())  # fmt: skip
    return figure


def tile(path: Path, side: int, columns: int, rows: int) -> Image.Image:
    """The first images, of side×side pixels, of a sample grid."""
    sheet = Image.open(path).convert("RGB")
    return sheet.crop((0, 0, min(columns * side, sheet.width), min(rows * side, sheet.height)))


def gallery(summary: Summary) -> Figure | None:
    """Samples of all variants side by side, same latents, and real images first."""
    shown = [("training images", summary.reals(), INK)]
    for row in summary.rows:
        color = COLORS[row.comparison.verdict] if row.comparison else INK
        shown.append((label(row), summary.samples(row), color))
    shown = [(name, path, color) for name, path, color in shown if path]
    if not shown:
        return None
    columns = 4
    lines = math.ceil(len(shown) / columns)
    figure = Figure(figsize=(11, 1.72 * lines), layout="constrained")
    panels = figure.subplots(lines, columns, squeeze=False)
    for axes, (name, path, color) in zip(panels.flat, shown):
        axes.imshow(tile(path, summary.resolution, 6, 3), interpolation="nearest")
        axes.set_title(_wrapped(name), fontsize=8, color=color)
    for axes in panels.flat:
        axes.set_axis_off()
    return figure


def _lines(
    axes: Axes, series: dict[str, list[tuple[float, float]]], beyond: float, colors: dict[str, str]
) -> None:
    """The default in black; in colour what leaves it by more than a factor; the rest in grey.

    A line may leave the picture: at a factor of 100 from the default, the others would be flat.
    """
    reference = dict(series[DEFAULT])

    def departure(name: str) -> float:
        pairs = [(y, reference[x]) for x, y in series[name] if x in reference]
        return max((abs(math.log(y / r)) for y, r in pairs), default=0.0)

    far = sorted((name for name in series if departure(name) > math.log(beyond)), key=departure, reverse=True)
    for name, points in series.items():
        if name not in far and name != DEFAULT:
            axes.plot(*zip(*points), color=FAINT, linewidth=1)
    for name in far[:6]:
        color = colors.setdefault(name, LINES[len(colors) % len(LINES)])
        axes.plot(*zip(*series[name]), color=color, linewidth=1.7, marker=".", label=name)
    axes.plot(*zip(*series[DEFAULT]), color=INK, linewidth=2.2, label=DEFAULT)
    axes.set_yscale("log")
    low, high = axes.get_ylim()
    axes.set_ylim(max(low, min(reference.values()) / 100), min(high, max(reference.values()) * 100))
    _plain_log(axes.yaxis)
    for line in axes.lines:
        if min(line.get_ydata()) > axes.get_ylim()[1]:
            line.set_label(f"{line.get_label()} (above)")
    axes.legend(frameon=False, fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.22), ncols=3)


def _plain_log(axis: Axis) -> None:
    """Numbers as people write them: 200, 500, 1000; powers of ten alone over several decades."""
    low, high = axis.get_view_interval()
    few = low > 0 and high / low < 300
    axis.set_major_locator(LogLocator(subs=(1, 2, 5) if few else (1,), numticks=12))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_locator(NullLocator())


def _wrapped(text: str) -> str:
    """On two lines if it would reach into the next panel."""
    return text if len(text) < 36 else text.replace(" → ", "\n→ ")


def label(row: Row) -> str:
    """ "residual_gain → 1"; a sweep's and a control's name say enough."""
    name, value = row.variant.name, row.variant.value
    return name if not value or "=" in name or name.endswith(f"_{value}") else f"{name} → {value}"
