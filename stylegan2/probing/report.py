"""The files of `stylegan2 probe`: probe.json with all numbers, probe.md as a report, and plots over depth."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

from stylegan2.files import markdown_table, replacing, write_text
from stylegan2.probing.measure.layers import COLUMNS, Probe, number
from stylegan2.probing.measure.networks import ModelProbe
from stylegan2.probing.rules.networks import Finding, fault
from stylegan2.probing.rules.predictions import Prediction, spread

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

KEY_NUMBERS = {
    "image_rms": "image rms",
    "image_std_z": "std across z",
    "image_std_noise": "std across noise",
    "w_std_z": "std of w",
    "logits_std_real": "logits' std",
    "loss_d": "loss D",
    "gradient_norm_squared": "‖∇ₓD‖²",
    "r1_per_loss": "R1 / loss D",
    "path_length": "path length",
    "discriminator_growth": "D: growth per block",
    "ema_distance": "EMA distance",
}
"""The numbers of the table that compares all variants, and their headings."""

RESIDUAL_NUMBERS = {
    "skip": "rms of the skip branch",
    "branch": "rms of the other branch",
    "correlation": "ρ",
    "output": "rms of the sum",
    "keeping": "gain that keeps the variance",
    "share": "share of the output",
}
"""The numbers of the table of residual blocks (`stylegan2.probing.measure.residual`), and their headings."""

CURVES = {
    "rms": "rms of activations",
    "gradient": "norm of the gradient of the loss with respect to activations",
    "step": "Adam's first step, relative to the weights",
}
"""The fields of a `Row` that are plotted over depth, and their titles.

The gradient is plotted as a norm, its rms times √(number of values). Through a layer that preserves the gradient, the
norm stays the same, while the rms is smaller for an output with more pixels or channels.
"""


@dataclass(frozen=True, kw_only=True)
class Variant:
    """The configuration itself, or the configuration with one scaling switched off."""

    name: str
    start: ModelProbe
    diverged: str | None = None
    """The message of training if a loss became NaN or infinite."""
    after: ModelProbe | None = None
    """The measurements after training. None: there was no training, or it diverged."""

    @property
    def findings(self) -> list[Finding]:
        """The findings at the start, followed by the new ones after training."""
        later = self.after.findings if self.after else []
        if self.diverged:
            later = [fault("diverged", f"training stopped at {self.diverged}")]
        known = {f.name for f in self.start.findings}
        return [*self.start.findings, *(f for f in later if f.name not in known)]

    @property
    def states(self) -> list[tuple[str, ModelProbe]]:
        """The measurements at the start and, if they exist, after training, as (title, measurements)."""
        return [(f"iteration {s.iteration}", s) for s in (self.start, self.after) if s]


def write_report(
    out: Path,
    variants: Sequence[Variant],
    predictions: Sequence[Prediction],
    lengths: Sequence[Mapping[str, Any]],
    findings: Sequence[Finding],
    heading: str,
) -> None:
    """Write probe.json, probe.md and the plots into a folder. Existing files of these names are replaced.

    Args:
        out: The folder.
        variants: The variants. The first is the configuration itself.
        predictions: Predictions with their measurements.
        lengths: The rows that `path_length_by_resolution` returns.
        findings: All findings on the configuration.
        heading: One line that says what was probed.
    """
    data = {
        "probed": heading,
        "faults": sum(f.fault for f in findings),
        "findings": [asdict(f) for f in findings],
        "variants": [asdict(v) for v in variants],
        "theory": [asdict(p) | {"mean": p.mean, "spread": p.spread} for p in predictions],
        "path_length_by_resolution": list(lengths),
    }
    write_text(
        out / "probe.json", json.dumps(_plain(data), indent=1, allow_nan=False, ensure_ascii=False) + "\n"
    )
    parts = [f"# Probe: {heading}", "## Diagnosis", diagnosis(findings)]
    parts += _sections(variants, predictions, lengths)
    parts += ["## Plots", *(f"![{name}]({name})" for name in _plot(out, variants, lengths))]
    write_text(out / "probe.md", "\n\n".join(parts) + "\n")


def diagnosis(findings: Sequence[Finding]) -> str:
    """The number of faults in one line, followed by one line per finding, faults first."""
    faults = sum(f.fault for f in findings)
    head = f"{faults} fault{'' if faults == 1 else 's'} found." if faults else "No fault found."
    return "\n".join([head, *(f"- {f}" for f in sorted(findings, key=lambda f: not f.fault))])


def _sections(
    variants: Sequence[Variant], predictions: Sequence[Prediction], lengths: Sequence[Mapping[str, Any]]
) -> list[str]:
    """The headings and tables of probe.md, alternately."""
    base = variants[0]
    parts = ["## Numbers side by side", _side_by_side(variants)]
    if len(variants) > 1:
        names = [dict.fromkeys(f.name for f in v.findings if f.fault) for v in variants]
        rows = [[v.name, ", ".join(found) or "none"] for v, found in zip(variants, names)]
        parts += ["Faults found in each:", markdown_table(["variant", "faults"], rows)]
    if predictions:
        rows = [
            [p.ablation, p.quantity, number(p.predicted), number(p.mean), f"±{number(p.spread)}"]
            for p in predictions
        ]
        head = ["switched off", "quantity", "predicted", "measured", "over seeds"]
        parts += ["## Theory and measurement, at initialization", markdown_table(head, rows)]
    if lengths:
        rows = [
            [str(row["resolution"])]
            + [f"{number(fmean(row[key]))} ±{number(spread(row[key]))}" for key in ("with", "without")]
            for row in lengths
        ]
        head = ["resolution", "y/√(H·W)", "y as it is"]
        parts += ["## Path length over resolutions, at initialization", markdown_table(head, rows)]
    rows = [[str(i), number(change)] for i, change in enumerate((base.after or base.start).numbers["rows"])]
    head = ["row", "rms of the change / √2"]
    parts += ["## Influence of each row of ws on the image", markdown_table(head, rows)]
    gains = [[stage, number(gain)] for stage, gain in base.start.blocks["filter_gains"].items()]
    parts += ["## FIR DC gain of each stage", markdown_table(["stage", "gain"], gains)]
    for name, state in base.states:
        if blocks := state.numbers["residual_blocks"]:
            rows = [[b["name"], *(number(b[key]) for key in RESIDUAL_NUMBERS)] for b in blocks]
            parts += [
                f"## Residual blocks of D on real images, {name}",
                markdown_table(["block", *RESIDUAL_NUMBERS.values()], rows),
            ]
        for title, p in (("Generator", state.generator), ("Discriminator", state.discriminator)):
            parts += [f"## {title}, {name}", markdown_table(COLUMNS, [row.cells() for row in p.layers])]
    return parts


def _side_by_side(variants: Sequence[Variant]) -> str:
    rows = []
    for v in variants:
        for name, state in v.states:
            rows.append([f"{v.name}, {name}", *(number(state.numbers.get(key)) for key in KEY_NUMBERS)])
        if v.diverged:
            rows.append([f"{v.name}: {v.diverged}", *[""] * len(KEY_NUMBERS)])
    return markdown_table(["variant", *KEY_NUMBERS.values()], rows)


def _plot(out: Path, variants: Sequence[Variant], lengths: Sequence[Mapping[str, Any]]) -> list[str]:
    """Save the plots as PNG files and return their names."""
    figures = {f"{key}.png": _over_depth(variants, key, title) for key, title in CURVES.items()}
    if lengths:
        figures["path_length.png"] = _over_resolution(lengths)
    for name, figure in figures.items():
        with replacing(out / name) as temporary:
            figure.savefig(temporary, format="png", dpi=110)
    return list(figures)


def _over_depth(variants: Sequence[Variant], key: str, title: str) -> Figure:
    """A figure of one field of `Row` over the layers of both networks, with one line per variant."""
    from matplotlib import colormaps
    from matplotlib.figure import Figure

    colors = [
        "black",
        *(color for name, n in (("tab10", 10), ("Dark2", 8)) for color in colormaps[name](range(n))),
    ]
    figure = Figure(figsize=(14, 9), layout="constrained")
    lines: dict[str, Line2D] = {}
    for axes, network in zip(figure.subplots(2, 1), ("generator", "discriminator")):
        base = _curve(getattr(variants[0].start, network), key)
        for i, v in enumerate(variants):
            if i and not _differs(_curve(getattr(v.start, network), key), base):
                continue
            look = {"color": colors[i % len(colors)], "linewidth": 1.2 if i else 2.5, "zorder": 2 if i else 3}
            for style, (_, state) in zip("-:", v.states):
                curve = _curve(getattr(state, network), key)
                (line,) = axes.semilogy(list(curve), list(curve.values()), style, **look)
                if style == "-":
                    lines[v.name] = line
        if base:  # cut off variants that explode, because they would flatten all other lines
            low, high = axes.get_ylim()
            axes.set_ylim(max(low, min(base.values()) / 300), min(high, max(base.values()) * 300))
        axes.set_title(f"{title}: {network}")
        axes.tick_params(axis="x", rotation=90, labelsize=7)
        axes.grid(alpha=0.3)
    states = "solid: " + ", dotted: ".join(name for name, _ in variants[0].states)
    figure.legend(
        list(lines.values()),
        list(lines),
        loc="outside right upper",
        fontsize=8,
        title=states,
        title_fontsize=8,
    )
    return figure


def _over_resolution(lengths: Sequence[Mapping[str, Any]]) -> Figure:
    """A figure of the path length over resolution, with mean and standard deviation over seeds."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4), layout="constrained")
    axes, resolutions = figure.subplots(), [row["resolution"] for row in lengths]
    for key, label in (("with", "y / √(H·W)"), ("without", "y as it is")):
        means, spreads = [fmean(row[key]) for row in lengths], [spread(row[key]) for row in lengths]
        axes.errorbar(resolutions, means, spreads, marker="o", label=label)
    axes.set(xscale="log", yscale="log", xlabel="resolution", ylabel="path length at initialization")
    axes.set_xticks(resolutions, map(str, resolutions))
    axes.minorticks_off()
    axes.grid(alpha=0.3)
    axes.legend()
    return figure


def _curve(p: Probe, key: str) -> dict[str, float]:
    """Values by layer, without affine layers (their outputs are styles) and values a log scale cannot show."""
    rows = [row for row in p.layers if not row.name.endswith(".affine")]
    values = {row.name: getattr(row, key) for row in rows}
    if key == "gradient":
        values = {row.name: row.gradient and row.gradient * math.sqrt(math.prod(row.shape)) for row in rows}
    return {name: v for name, v in values.items() if v is not None and math.isfinite(v) and v > 0}


def _differs(curve: Mapping[str, float], base: Mapping[str, float]) -> bool:
    """Whether a curve differs from the configuration's by 10 % in some layer. If not, it is not drawn."""
    return any(abs(math.log(curve[name] / base[name])) > 0.1 for name in curve if name in base)


def _plain(value: object) -> object:
    """The value with NaN and infinity replaced by texts, because JSON has neither."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value
