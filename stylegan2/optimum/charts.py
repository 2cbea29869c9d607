"""The figures of a study of an optimum."""

from __future__ import annotations

import math
from collections.abc import Sequence

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator

from stylegan2.optimum.plan import Plan
from stylegan2.optimum.study import Curves
from stylegan2.optimum.summary import Variant
from stylegan2.reporting.charts import COLORS, STYLE

PANELS = 3
"""Panels in a row."""
TICKS = 5
"""Most numbers below a panel."""


def figures(plan: Plan, scores: Curves, variants: Sequence[Variant]) -> dict[str, tuple[str, Figure]]:
    """(text, figure) by the name of the figure's file."""
    with matplotlib.rc_context(STYLE):
        return {
            "curves": (
                "Lines are geometric means over seeds, and dots are single seeds. The bar above the axis shows the "
                "values that train at a size: at most 1.5 times the default's best score there. A cross at the top "
                "is a value with which a seed diverged.",
                _curves(plan, scores, variants),
            ),
            "optima": (
                "The best value and its 95 % interval. An open circle has an interval that the seeds leave open. "
                "What is missing has no minimum inside the values tried.",
                _optima(plan, variants),
            ),
        }


def _curves(plan: Plan, scores: Curves, variants: Sequence[Variant]) -> Figure:
    rows = math.ceil(len(variants) / PANELS)
    columns = min(len(variants), PANELS)
    figure = Figure(figsize=(4.2 * columns, 3.4 * rows), layout="constrained")
    panels = list(figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True).flat)
    for axes, variant in zip(panels, variants):
        for i, curve in enumerate(variant.curves):
            color, of_seeds = COLORS[i % len(COLORS)], scores[variant.name, curve.number]
            shown = np.where(np.isfinite(of_seeds), of_seeds, np.nan)
            axes.plot(plan.values, shown.T, ".", color=color, alpha=0.35, markersize=5)
            with np.errstate(invalid="ignore"):
                means = np.exp(np.log(shown).mean(axis=0))
            axes.plot(plan.values, means, "-", color=color, label=plan.label(curve.number), linewidth=1.8)
            diverged = [value for value, column in zip(plan.values, of_seeds.T) if np.isinf(column).any()]
            top = axes.get_xaxis_transform()
            axes.plot(
                diverged, [0.97 - 0.05 * i] * len(diverged), "x", color=color, transform=top, markersize=5
            )
            if curve.trains.octaves:
                ends = [2**curve.trains.low, 2**curve.trains.high]
                axes.plot(
                    ends, [0.03 + 0.04 * i] * 2, "-", color=color, transform=top, linewidth=4, alpha=0.6
                )
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.minorticks_off()
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 3, 5)))
        axes.yaxis.set_major_formatter("{x:g}")
        ticks = plan.values[:: math.ceil(len(plan.values) / TICKS)]
        axes.set_xticks(ticks, [f"{value:.2g}" for value in ticks])
        axes.margins(y=0.12)
        axes.set_title(variant.name)
    for axes in panels[len(variants) :]:
        axes.set_axis_off()
    panels[0].legend(frameon=False, fontsize=8)
    figure.supxlabel(plan.name, fontsize=10)
    figure.supylabel(score_name(plan), fontsize=10)
    return figure


def _optima(plan: Plan, variants: Sequence[Variant]) -> Figure:
    curves = [(i, curve) for variant in variants for i, curve in enumerate(variant.curves)][::-1]
    figure = Figure(figsize=(8, 0.3 * len(curves) + 1.2), layout="constrained")
    axes = figure.subplots()
    for y, (i, curve) in enumerate(curves):
        best, color = curve.optimum, COLORS[i % len(COLORS)]
        if best.is_known:
            axes.plot([2**best.low, 2**best.high], [y, y], "-", color=color, linewidth=2, alpha=0.6)
        if math.isfinite(best.estimate):
            axes.plot(2**best.estimate, y, "o", color=color, fillstyle="full" if best.is_known else "none")
    axes.set_xscale("log")
    # An interval that is much longer than the sweep would flatten the others.
    axes.set_xlim(plan.values[0] / 2, plan.values[-1] * 2)
    axes.set_yticks(
        range(len(curves)), [f"{c.variant}, {plan.label(c.number)}" for _, c in curves], fontsize=8
    )
    axes.set_ylim(-0.7, len(curves) - 0.3)
    axes.set_xlabel(f"{plan.name}: the best value")
    return figure


def score_name(plan: Plan) -> str:
    return "1 - held-out AUC" if plan.task == "discriminator" else "quality distance"
