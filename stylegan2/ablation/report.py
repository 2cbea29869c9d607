"""The report of a study: one page that opens offline, and the same as Markdown with its figures beside it."""

from __future__ import annotations

import math
import shlex
from pathlib import Path

from stylegan2.ablation import plots
from stylegan2.ablation.page import NUMBERS, page
from stylegan2.ablation.statistics import METHOD
from stylegan2.ablation.study import Study, write
from stylegan2.ablation.summary import Row, Summary, conclusion, summarize

FIGURES = {
    "sweep": (
        plots.sweep,
        "The constant tried",
        "Dots: seeds. Lines: geometric mean with 95 % interval. The signal is measured before any training.",
    ),
    "effects": (
        plots.effects,
        "What each scaling is worth",
        "Large dots: geometric mean over seeds. Lines: 95 % interval. Strokes: single seeds. Log scale.",
    ),
    "gallery": (
        plots.gallery,
        "Samples from the same latents",
        "Seed 0, the end of training or the last grid before divergence.",
    ),
    "training": (
        plots.training,
        "Over training",
        "Quality distance of each seed; the control in grey.",
    ),
    "penalties": (
        plots.penalties,
        "Penalties over training",
        "Seed 0. Named: what leaves the default by more than a factor of 3; lines end at one of 100.",
    ),
    "depth": (
        plots.depth,
        "Over depth, before training",
        "Means over 3 seeds. Named: what leaves the default by more than a factor of 1.5; lines end "
        "at one of 100.",
    ),
}
"""File name: plot, heading, what it shows."""

HEAD = (
    "field",
    "set to",
    "verdict",
    "distance",
    "× control",
    "p",
    "R1",
    "path length",
    "time",
    "how it ended",
)


def write_report(study: Study) -> Path:
    """Evaluate the study and write report.html, report.md and figures/ into its folder.

    Returns:
        The page's path.
    """
    summary = summarize(study)
    figures = {}
    for name, (plot, heading, about) in FIGURES.items():
        figure = plots.draw(plot, summary)
        if figure is not None:
            figures[name] = heading, about, figure
    folder = study.out / "figures"
    folder.mkdir(exist_ok=True)
    for name, (_, _, figure) in figures.items():
        figure.savefig(folder / f"{name}.png", dpi=110, bbox_inches="tight")
    write(study.out / "report.md", _markdown(summary, figures))
    write(
        study.out / "report.html",
        page(
            title(summary),
            headline(summary),
            facts(summary),
            HEAD,
            [(row, cells(row)) for row in summary.rows],
            summary,
            figures,
            command(summary),
        ),
    )
    return study.out / "report.html"


def cells(row: Row) -> tuple[str, ...]:
    """A row of the table, as HEAD names it."""
    c, level = row.comparison, row.level
    verdict = c.verdict if c else "control"
    return (
        row.variant.name,
        row.variant.value,
        verdict,
        f"{_number(level.mean)}{_interval(level.low, level.high)}" if level else "",
        f"{c.ratio:.2f}{_interval(c.low, c.high)}" if c and math.isfinite(c.ratio) else "",
        f"{c.p:.2g}" if c and math.isfinite(c.p) else "",
        _number(row.r1),
        _number(row.path_length),
        f"{row.seconds / 60:.1f} min"
        if row.seconds >= 60
        else f"{row.seconds:.0f} s"
        if row.seconds > 0
        else "",
        row.ended,
    )


def _interval(low: float, high: float) -> str:
    return f" [{_number(low)}, {_number(high)}]" if math.isfinite(low) and high != low else ""


def _number(value: float) -> str:
    """Three digits, without an exponent where it can be read."""
    if not math.isfinite(value):
        return ""
    return f"{value:.0f}" if 100 <= abs(value) < 1e6 else f"{value:.3g}"


def facts(summary: Summary) -> list[str]:
    """What was run, a sentence each."""
    study, base = summary.study, summary.base
    ended = sum(study.result(run) is not None for run in study.runs)
    return [
        f"{len(summary.compared)} variants and what they are compared with, {study.seeds} "
        f"seed{'s' if study.seeds > 1 else ''} each, {study.kimg:g} kimg a run: "
        f"{ended} of {len(study.runs)} runs have ended.",
        f"Data: {base['data']['path']} at {base['data']['resolution']}×{base['data']['resolution']}; "
        f"batch {base['batch']}. Runs of one seed see the same images in the same order.",
        "Quality distance: Fréchet distance on features of a fixed random convolutional network, between "
        f"{study.images:,} generated images (psi 1) and all training images, or 10,000 of them. It is not "
        "FID, and can only be compared within this page.",
        METHOD,
    ]


def headline(summary: Summary) -> str:
    """The result in one paragraph."""
    if summary.is_sweep:
        return conclusion(summary)
    by_verdict: dict[str, list[str]] = {}
    for row in summary.compared:
        by_verdict.setdefault(row.comparison.verdict, []).append(row.variant.name)
    return " ".join(f"{v[0].upper()}{v[1:]}: {', '.join(names)}." for v, names in by_verdict.items())


def command(summary: Summary) -> str:
    """One that makes the report again from what is in the folder."""
    return f"stylegan2 ablate --out {shlex.quote(str(summary.study.out))} --report_only true"


def title(summary: Summary) -> str:
    if summary.is_sweep:
        return f"Which {summary.compared[0].variant.key.split('.')[-1]}?"
    return "StyleGAN2 with one scaling switched off at a time"


def _markdown(summary: Summary, figures: dict) -> str:
    table = [HEAD, ("---",) * len(HEAD), *(cells(row) for row in summary.rows)]
    parts = [
        f"# {title(summary)}",
        headline(summary),
        "\n".join(f"- {fact}" for fact in facts(summary)),
        "\n".join(f"| {' | '.join(cell.replace('|', '/') for cell in line)} |" for line in table),
        NUMBERS,
        *(
            f"## {heading}\n\n{about}\n\n![{heading}](figures/{name}.png)"
            for name, (heading, about, _) in figures.items()
        ),
        f"Made again by `{command(summary)}`.",
    ]
    return "\n\n".join(parts) + "\n"
