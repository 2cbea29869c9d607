"""The texts in the tables of a report."""

from __future__ import annotations

import math

from stylegan2.ablation.statistics.summary import Row, Summary
from stylegan2.ablation.statistics.verdicts import UNDETECTED, Comparison


def limits(c: Comparison) -> str:
    """The smallest effects that a comparison without a finding could have seen. "" if there is a finding."""
    if c.verdict == "not known":
        return "too few runs have ended"
    if c.verdict not in UNDETECTED:
        return ""
    if c.low == c.high == 1:
        return "equal bit for bit"
    parts = [f"could see ×{factor(c.detectable)}"] if math.isfinite(c.detectable) else []
    if math.isfinite(c.divergences):
        parts.append(f"could see {c.divergences:.0f} diverged runs")
    elif not math.isnan(c.divergences):
        parts.append("could see no divergences: too few seeds")
    return ", ".join(parts) or "too few runs have ended"


def cells(row: Row) -> dict[str, str]:
    """The cells of a row of the table, as texts by column."""
    c, level = row.comparison, row.level
    minutes, seconds = f"{row.seconds / 60:.1f} min", f"{row.seconds:.0f} s"
    return {
        "field": row.variant.name,
        "set to": row.variant.value,
        "verdict": row.verdict,
        "distance": number(level.mean) if level else "",
        "× control": f"{c.ratio:.2f}{interval(c.low, c.high)}" if c and math.isfinite(c.ratio) else "",
        "p": f"{c.p:.2g}" if c and math.isfinite(c.p) else "",
        "could see": limits(c).replace("could see ", "") if c else "",
        "R1": number(row.r1),
        "path length": number(row.path_length),
        "time": minutes if row.seconds >= 60 else seconds if row.seconds > 0 else "",
        "how it ended": row.ended,
    }


def about_secondary(summary: Summary) -> str:
    """What the table of secondary measures shows."""
    family = len(summary.compared) * (len(summary.measures) - 1)
    return (
        "Ratios to the control, with intervals. These measures do not change the verdicts above. They have a level "
        f"of 5 % of their own, which all {family} comparisons of this table share. “Higher” and “lower” are "
        "significant. All others are followed by the smallest factor that could have been seen with a probability of "
        "80 %. “Not known”: too few runs have a value, or all are equal to the control's."
    )


def secondary_measures(summary: Summary) -> list[str]:
    """What each secondary measure is."""
    return [f"{m.name[0].upper()}{m.name[1:]}: {m.about}." for m in summary.measures[1:]]


def secondary_cells(row: Row) -> dict[str, str]:
    """The cells of a row of the table of secondary measures, as texts by column."""
    return {"field": row.variant.name, "set to": row.variant.value} | {
        name: _secondary_cell(comparison) for name, comparison in row.secondary.items()
    }


def _secondary_cell(c: Comparison) -> str:
    """Such as "×0.47 lower [0.3, 0.7]" or "×1.1 undecided [0.6, 2.1]; could see ×2.2"."""
    verdict = {"needed": "higher", "helps": "higher", "better without": "lower"}.get(c.verdict, c.verdict)
    if not math.isfinite(c.ratio):
        return verdict
    seen = limits(c)
    return f"×{factor(c.ratio)} {verdict}{interval(c.low, c.high)}{f'; {seen}' if seen else ''}"


def interval(low: float, high: float) -> str:
    return f" [{factor(low)}, {factor(high)}]" if math.isfinite(low) and high != low else ""


def factor(value: float) -> str:
    """A ratio. Those that say no more than that the study is too small are cut off at 1000."""
    if value > 1000:
        return "1000 or more"
    return number(value) if value > 1e-3 else "0.001 or less"


def number(value: float) -> str:
    """Three digits, without an exponent if the number is below a million. An empty text if it is not finite."""
    if not math.isfinite(value):
        return ""
    return f"{value:.0f}" if 100 <= abs(value) < 1e6 else f"{value:.3g}"
