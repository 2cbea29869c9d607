"""The report of a coordinate check: report.md with its plots, and the numbers as JSON."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from stylegan2.coordinates.fit import Measured, Slope
from stylegan2.coordinates.plan import DEFAULT, Axis
from stylegan2.files import markdown_table, replacing, write_text


def write_report(out: Path, over: str, axis: Axis, measured: Measured, slopes: Sequence[Slope]) -> Path:
    """Write report.md, one plot for each quantity and transfer.json into a folder. Returns the page's path."""
    quantities = list(measured[DEFAULT][0][0])
    pictures = {q: f"{re.sub('[^a-z0-9]+', '_', q.lower()).strip('_')}.png" for q in quantities}
    for quantity, name in pictures.items():
        with replacing(out / "figures" / name) as temporary:
            _plot(axis, measured, quantity).savefig(temporary, format="png", dpi=100, bbox_inches="tight")
    plots = [f"![{quantity}](figures/{name})" for quantity, name in pictures.items()]
    parts = [
        f"# What grows with {over}?",
        f"Untrained networks with {axis.about} of {', '.join(f'{x:g}' for x in axis.x)}, and "
        f"{len(measured[DEFAULT])} seeds. The slope is the {axis.slope_of}: one for each seed, with the 95 % "
        "interval of Student's t over seeds. A quantity that keeps its size has slope 0. A hyperparameter that is "
        "right at one size then stays right at the others.",
        "## Predicted and measured",
        _table([s for s in slopes if s.predicted is not None]),
        "## All slopes",
        _table([s for s in slopes if s.predicted is None]),
        "## Plots",
        "Geometric means over seeds.",
        *plots,
    ]
    write_text(out / "report.md", "\n\n".join(parts) + "\n")
    numbers = {"over": over, "x": axis.x, "measured": measured, "slopes": [asdict(s) for s in slopes]}
    write_text(out / "transfer.json", json.dumps(numbers, indent=1))
    return out / "report.md"


def _table(slopes: Sequence[Slope]) -> str:
    rows = [
        [
            s.variant,
            s.quantity + (", over the default's" if s.relative else ""),
            "" if s.predicted is None else f"{s.predicted:g}",
            number(s),
            s.verdict,
        ]
        for s in slopes
    ]
    return markdown_table(["variant", "quantity", "predicted", "measured", ""], rows)


def number(slope: Slope) -> str:
    """A slope with its interval, such as 0.51 ± 0.03."""
    if not math.isfinite(slope.mean):
        return "0 or infinite at some size"
    return f"{slope.mean:.2f}" + (f" ± {slope.half_width:.2f}" if math.isfinite(slope.half_width) else "")


def _plot(axis: Axis, measured: Measured, quantity: str) -> Figure:
    figure = Figure(figsize=(6, 3.6), layout="constrained")
    axes = figure.subplots()
    for variant, rows in measured.items():
        values = np.array([[size[quantity] for size in seed] for seed in rows])
        if not (values > 0).all() or not np.isfinite(values).all():
            continue
        means = np.exp(np.log(values).mean(axis=0))
        is_default = variant == DEFAULT
        axes.plot(axis.x, means, "o-", label=variant, color="#22272b" if is_default else None,
                  linewidth=2.5 if is_default else 1.2, markersize=4, zorder=3 if is_default else 2)  # fmt: skip
    axes.set_yscale("log")
    if axis.is_power:
        axes.set_xscale("log", base=2)
    axes.set_xlabel(axis.about)
    axes.set_title(quantity, loc="left")
    axes.legend(frameon=False, fontsize=7, loc="center left", bbox_to_anchor=(1, 0.5))
    return figure
