"""The probe's files: probe.json with every number, probe.md to read, plots over depth."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from matplotlib import colormaps
from matplotlib.figure import Figure

from stylegan2.probing.diagnose import Examination
from stylegan2.probing.findings import Finding
from stylegan2.probing.measure import Probe
from stylegan2.probing.rehearse import Rehearsal
from stylegan2.probing.theory import Claim

COLORS = [color for name in ("tab10", "Dark2") for color in colormaps[name].colors]

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
    "discriminator_growth": "D: rms a block",
    "ema_distance": "EMA distance",
}
"""The numbers that stand side by side for all variants, and their headings."""


@dataclass(frozen=True, kw_only=True)
class Variant:
    """One variant: the configuration itself, or with one scaling switched off."""

    name: str
    start: Examination
    rehearsal: Rehearsal | None = None
    after: Examination | None = None
    """After the rehearsal; None if there was none, or it diverged."""

    @property
    def findings(self) -> list[Finding]:
        """Those at the start, then those of training that are new."""
        later = self.after.findings if self.after else []
        if self.rehearsal and self.rehearsal.diverged:
            later = [Finding(name="diverged", text=f"training stopped at {self.rehearsal.diverged}")]
        known = {f.name for f in self.start.findings}
        return [*self.start.findings, *(f for f in later if f.name not in known)]


def write_report(
    out: Path,
    variants: Sequence[Variant],
    claims: Sequence[Claim],
    lengths: Sequence[Mapping],
    findings: Sequence[Finding],
    heading: str,
) -> None:
    """Write probe.json, probe.md and the plots into a folder.

    Args:
        out: Made if missing; files of these names are replaced.
        variants: The configuration first.
        claims: Theory beside measurement.
        lengths: Rows of `path_length_by_resolution`.
        findings: All of the configuration's.
        heading: What was probed, a line.
    """
    out.mkdir(parents=True, exist_ok=True)
    data = {
        "probed": heading,
        "faults": sum(f.fault for f in findings),
        "findings": [asdict(f) for f in findings],
        "variants": [asdict(v) for v in variants],
        "theory": [asdict(c) | {"mean": c.mean, "spread": c.spread} for c in claims],
        "path_length_by_resolution": list(lengths),
    }
    (out / "probe.json").write_text(json.dumps(_plain(data), indent=1, allow_nan=False, ensure_ascii=False))
    plots = plot(out, variants, lengths)
    (out / "probe.md").write_text(markdown(variants, claims, lengths, findings, heading, plots))


def markdown(
    variants: Sequence[Variant],
    claims: Sequence[Claim],
    lengths: Sequence[Mapping],
    findings: Sequence[Finding],
    heading: str,
    plots: Sequence[str],
) -> str:
    """The report as Markdown."""
    base = variants[0]
    parts = [f"# Probe: {heading}", "## Diagnosis", diagnosis(findings)]
    parts += ["## Numbers side by side", _table(["variant", *KEY_NUMBERS.values()], _side_by_side(variants))]
    if len(variants) > 1:
        names = [dict.fromkeys(f.name for f in v.findings if f.fault) for v in variants]
        rows = [[v.name, ", ".join(found) or "none"] for v, found in zip(variants, names)]
        parts += ["Faults found in each:", _table(["variant", "faults"], rows)]
    if claims:
        rows = [
            [c.ablation, c.quantity, _number(c.predicted), _number(c.mean), f"±{_number(c.spread)}"]
            for c in claims
        ]
        head = ["switched off", "quantity", "predicted", "measured", "over seeds"]
        parts += ["## Theory and measurement, at initialisation", _table(head, rows)]
    if lengths:
        rows = [
            [str(row["resolution"])]
            + [
                f"{_number(statistics.fmean(row[key]))} ±{_number(_spread(row[key]))}"
                for key in ("with", "without")
            ]
            for row in lengths
        ]
        head = ["resolution", "y/√(H·W)", "y as it is"]
        parts += ["## Path length over resolutions, at initialisation", _table(head, rows)]
    rows = [[str(i), _number(v)] for i, v in enumerate((base.after or base.start).numbers["rows"])]
    parts += ["## Influence of each row of ws on the image", _table(["row", "rms of the change / √2"], rows)]
    gains = [[k, _number(v)] for k, v in base.start.anatomy["filter_gains"].items()]
    parts += ["## FIR DC gain of each stage", _table(["stage", "gain"], gains)]
    for name, examination in _states(base):
        for network in ("generator", "discriminator"):
            parts += [f"## {network.capitalize()}, {name}", _layers(getattr(examination, network))]
    parts += ["## Plots", *(f"![{name}]({name})" for name in plots)]
    return "\n\n".join(parts) + "\n"


def diagnosis(findings: Sequence[Finding]) -> str:
    """The findings as lines, faults first, under a count."""
    faults = sum(f.fault for f in findings)
    head = f"{faults} fault{'' if faults == 1 else 's'} found." if faults else "No fault found."
    return "\n".join([head, *(f"- {f}" for f in sorted(findings, key=lambda f: not f.fault))])


def _states(variant: Variant) -> list[tuple[str, Examination]]:
    states = [(f"iteration {variant.start.iteration}", variant.start)]
    if variant.after:
        states.append((f"iteration {variant.after.iteration}", variant.after))
    return states


def _side_by_side(variants: Sequence[Variant]) -> list[list[str]]:
    rows = []
    for v in variants:
        for name, examination in _states(v):
            numbers = (examination.numbers.get(key) for key in KEY_NUMBERS)
            rows.append([f"{v.name}, {name}", *("" if n is None else _number(n) for n in numbers)])
        if v.rehearsal and v.rehearsal.diverged:
            rows.append([f"{v.name}: {v.rehearsal.diverged}", *[""] * len(KEY_NUMBERS)])
    return rows


def _layers(p: Probe) -> str:
    head = ["layer", "kind", "output", "rms", "mean", "gradient rms", "weight rms", "Adam step", "clamped"]
    return _table(
        head,
        [
            [
                row.name,
                row.kind,
                "×".join(map(str, row.shape)),
                *(
                    "" if value is None else _number(value)
                    for value in (row.rms, row.mean, row.gradient, row.weight, row.step, row.clamped)
                ),
            ]
            for row in p.layers
        ],
    )


def plot(out: Path, variants: Sequence[Variant], lengths: Sequence[Mapping]) -> list[str]:
    """PNGs: signal, gradient and relative step over depth of both networks; path length over resolution."""
    names = []
    for key, title in (
        ("rms", "rms of activations"),
        ("gradient", "rms of the loss's gradient by activations"),
        ("step", "Adam's first step, relative to the weights"),
    ):
        figure = Figure(figsize=(14, 9), layout="constrained")
        labels: dict[str, object] = {}
        for axes, network in zip(figure.subplots(2, 1), ("generator", "discriminator")):
            base = dict(_curve(variants[0].start, network, key))
            for i, v in enumerate(variants):
                if i and not _differs(dict(_curve(v.start, network, key)), base):
                    continue
                color = COLORS[i % len(COLORS)] if i else "black"
                for style, (_, examination) in zip("-:", _states(v)):
                    points = _curve(examination, network, key)
                    (line,) = axes.semilogy(
                        [layer for layer, _ in points],
                        [value for _, value in points],
                        style,
                        color=color,
                        linewidth=2.5 if i == 0 else 1.2,
                        zorder=2 if i else 3,
                    )
                    if style == "-":
                        labels[v.name] = line
            if base:  # what explodes leaves the picture instead of flattening all else
                axes.set_ylim(
                    max(axes.get_ylim()[0], min(base.values()) / 300),
                    min(axes.get_ylim()[1], max(base.values()) * 300),
                )
            axes.set_title(f"{title}: {network}")
            axes.tick_params(axis="x", rotation=90, labelsize=7)
            axes.grid(alpha=0.3)
        states = [name for name, _ in _states(variants[0])]
        title = "solid: " + ", dotted: ".join(states)
        figure.legend(
            labels.values(),
            labels.keys(),
            loc="outside right upper",
            fontsize=8,
            title=title,
            title_fontsize=8,
        )
        name = f"{key}.png"
        figure.savefig(out / name, dpi=110)
        names.append(name)
    if lengths:
        figure = Figure(figsize=(6, 4), layout="constrained")
        axes = figure.subplots()
        for key, label in (("with", "y / √(H·W)"), ("without", "y as it is")):
            means = [statistics.fmean(row[key]) for row in lengths]
            spreads = [_spread(row[key]) for row in lengths]
            axes.errorbar([row["resolution"] for row in lengths], means, spreads, marker="o", label=label)
        axes.set(xscale="log", yscale="log", xlabel="resolution", ylabel="path length at initialisation")
        axes.set_xticks([row["resolution"] for row in lengths], [str(row["resolution"]) for row in lengths])
        axes.minorticks_off()
        axes.grid(alpha=0.3)
        axes.legend()
        figure.savefig(out / "path_length.png", dpi=110)
        names.append("path_length.png")
    return names


def _curve(examination: Examination, network: str, key: str) -> list[tuple[str, float]]:
    """Layers on the way of the signal (styles join it from the side) and values of a size to draw."""
    points = [(r.name, getattr(r, key)) for r in getattr(examination, network).layers]
    return [
        (name, value)
        for name, value in points
        if not name.endswith(".affine") and value is not None and math.isfinite(value) and value > 0
    ]


def _differs(curve: Mapping[str, float], base: Mapping[str, float]) -> bool:
    """By a tenth somewhere: what lies on the configuration's curve is not drawn."""
    return any(abs(math.log(curve[name] / base[name])) > 0.1 for name in curve if name in base)


def _spread(values: Sequence[float]) -> float:
    return statistics.stdev(values) if len(values) > 1 else 0.0


def _number(value: float) -> str:
    return f"{value:.3g}"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def _plain(value: object) -> object:
    """JSON knows no NaN and no infinity: they become text."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value
