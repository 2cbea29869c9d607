"""The report of a coordinate check: report.html, report.md with its plots, and the numbers as JSON."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from stylegan2.coordinates.fit import Measured, Slope
from stylegan2.coordinates.page import page
from stylegan2.coordinates.plan import DEFAULT, Axis
from stylegan2.files import markdown_table, replacing, write_text

HEAD = ["variant", "quantity", "predicted", "measured", ""]


def write_report(
    out: Path, over: str, axis: Axis, measured: Measured, slopes: Sequence[Slope], command: str
) -> Path:
    """Write report.html, report.md, one plot for each quantity and transfer.json. Returns the path of report.html.

    Args:
        out: The folder.
        over: What grows.
        axis: Its sizes.
        measured: All quantities, by the variant.
        slopes: Their slopes, with predictions where there are any.
        command: What makes the report again.
    """
    quantities = list(measured[DEFAULT][0][0])
    pictures = {q: f"{re.sub('[^a-z0-9]+', '_', q.lower()).strip('_')}.png" for q in quantities}
    figures = {q: _plot(axis, measured, q, [s for s in slopes if s.quantity == q]) for q in quantities}
    for quantity, name in pictures.items():
        with replacing(out / "figures" / name) as temporary:
            figures[quantity].savefig(temporary, format="png", dpi=100, bbox_inches="tight")
    plots = [f"![{quantity}](figures/{name})" for quantity, name in pictures.items()]
    title = f"What grows with {over}?"
    about = (
        f"Untrained networks with {axis.about} of {', '.join(f'{x:g}' for x in axis.x)}, and "
        f"{len(measured[DEFAULT])} seeds. The slope is the {axis.slope_of}: one for each seed, with the 95 % "
        "interval of Student's t over seeds. A quantity that keeps its size has slope 0. A hyperparameter that is "
        f"right at one size then stays right at the others. Made by: {command}"
    )
    parts = [
        f"# {title}",
        about,
        "## Predicted and measured",
        markdown_table(HEAD, [_cells(s) for s in slopes if s.predicted is not None]),
        "## All slopes",
        markdown_table(HEAD, [_cells(s) for s in slopes if s.predicted is None]),
        "## Plots",
        "Geometric means over seeds. A dashed line has the predicted slope and starts at the first point.",
        *plots,
    ]
    write_text(out / "report.md", "\n\n".join(parts) + "\n")
    numbers = {"over": over, "x": axis.x, "measured": measured, "slopes": [asdict(s) for s in slopes]}
    write_text(out / "transfer.json", json.dumps(numbers, indent=1))
    write_text(out / "report.html", page(title, about, HEAD, slopes, {s: _cells(s) for s in slopes}, figures))
    return out / "report.html"


def _cells(s: Slope) -> list[str]:
    return [
        s.variant,
        s.quantity + (", over the default's" if s.relative else ""),
        "" if s.predicted is None else f"{s.predicted:g}",
        number(s),
        s.verdict,
    ]


def number(slope: Slope) -> str:
    """A slope with its interval, such as 0.51 ± 0.03."""
    if not math.isfinite(slope.mean):
        return "0 or infinite at some size"
    return f"{slope.mean:.2f}" + (f" ± {slope.half_width:.2f}" if math.isfinite(slope.half_width) else "")


def _plot(axis: Axis, measured: Measured, quantity: str, slopes: Sequence[Slope]) -> Figure:
    figure = Figure(figsize=(6, 3.6), layout="constrained")
    axes = figure.subplots()
    means = {
        variant: np.exp(np.log(values).mean(axis=0))
        for variant, rows in measured.items()
        for values in [np.array([[size[quantity] for size in seed] for seed in rows])]
        if (values > 0).all() and np.isfinite(values).all()
    }
    for variant, y in means.items():
        is_default = variant == DEFAULT
        style: dict[str, Any] = (
            {"color": "#22272b", "linewidth": 2.5, "zorder": 3} if is_default else {"linewidth": 1.2}
        )
        (line,) = axes.plot(axis.x, y, "o-", label=variant, markersize=4, **style)
        for s in slopes:
            if s.variant == variant and s.predicted is not None and (not s.relative or DEFAULT in means):
                grown = _grown(axis, s.predicted) * (
                    means[DEFAULT] / means[DEFAULT][0] if s.relative else 1.0
                )
                axes.plot(axis.x, y[0] * grown, "--", color=line.get_color(), linewidth=1, alpha=0.7)
    axes.set_yscale("log")
    if axis.is_power:
        axes.set_xscale("log", base=2)
    axes.set_xlabel(axis.about)
    axes.set_title(quantity, loc="left")
    axes.legend(frameon=False, fontsize=7, loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


def _grown(axis: Axis, slope: float) -> NDArray[np.float64]:
    """A quantity of this slope at every size, over that at the first."""
    x = np.array(axis.x)
    return np.asarray((x / x[0]) ** slope if axis.is_power else 2.0 ** (slope * (x - x[0])))
