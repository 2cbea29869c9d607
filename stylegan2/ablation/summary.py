"""The numbers of a study as rows: what the table, the pictures and both reports show."""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass
from pathlib import Path

import yaml

from stylegan2.ablation.signals import Signal, signals
from stylegan2.ablation.statistics import Comparison, Level, compare, distances, levels
from stylegan2.ablation.study import Run, Study
from stylegan2.ablation.variants import DEFAULT, Variant, lookup, tested


@dataclass(frozen=True, kw_only=True)
class Row:
    """One variant."""

    variant: Variant
    level: Level | None
    comparison: Comparison | None
    """None for one that others are compared with."""
    ended: str
    """How its runs ended, if not well: "diverged at 0.3 kimg (2 of 3): loss_d is NaN or infinite"."""
    r1: float
    path_length: float
    seconds: float
    """Of training, a run."""
    signal: Signal


@dataclass(frozen=True, kw_only=True)
class Summary:
    """A study, evaluated."""

    study: Study
    rows: list[Row]
    """The default first, then from the largest effect down; a sweep's by value."""
    base: dict

    @property
    def resolution(self) -> int:
        return self.base["data"]["resolution"]

    @property
    def default(self) -> Row:
        return self.rows[0]

    @property
    def compared(self) -> list[Row]:
        return [row for row in self.rows if row.comparison]

    @property
    def is_sweep(self) -> bool:
        return all("=" in row.variant.name for row in self.compared)

    @property
    def curves(self) -> dict[str, list[list[tuple[float, float]]]]:
        """By variant and seed, the quality distance over training."""
        found: dict[str, list] = {row.variant.name: [] for row in self.rows}
        for run in self.study.runs:
            result = self.study.result(run)
            found[run.variant].append(result.curve if result else [])
        return found

    def default_value(self) -> float:
        """A sweep's: the constant's value in the base configuration; NaN if it is no number."""
        value = lookup(self.base, self.compared[0].variant.key)
        return float(value) if isinstance(value, (int, float)) else math.nan

    def samples(self, row: Row, seed: int = 0) -> Path | None:
        """The latest sample grid of a run; all start from the same latents."""
        grids = sorted(
            (self.study.folder(Run(variant=row.variant.name, seed=seed)) / "samples").glob("kimg*")
        )
        return grids[-1] if grids else None

    def reals(self) -> Path | None:
        path = self.study.folder(Run(variant=DEFAULT, seed=0)) / "samples" / "reals.png"
        return path if path.is_file() else None


def summarize(study: Study) -> Summary:
    """Evaluate what is there of a study."""
    comparisons, level, signal = compare(study), levels(distances(study)), signals(study)
    rows = []
    for variant in study.variants:
        runs = [Run(variant=variant.name, seed=seed) for seed in range(study.seeds)]
        metrics = [study.metrics(run) for run in runs]
        rows.append(
            Row(
                variant=variant,
                level=level.get(variant.name),
                comparison=comparisons.get(variant.name),
                ended=_ended(study, runs),
                r1=_mean(_last(metrics, "r1")),
                path_length=_mean(_last(metrics, "path_length_mean")),
                seconds=_mean([_seconds(rows) for rows in metrics if rows]),
                signal=signal[variant.name],
            )
        )
    sweep = all("=" in v.name for v in tested(study.variants))
    rows.sort(key=_by_value if sweep else _by_effect)
    return Summary(study=study, rows=rows, base=yaml.safe_load(study.base.read_text()))


def _by_value(row: Row) -> tuple:
    return (row.comparison is not None, float(row.variant.value or 0))


def _by_effect(row: Row) -> tuple:
    if row.comparison is None:
        return (row.variant.name != DEFAULT and 3, 0, row.variant.name)
    ratio = row.comparison.ratio
    return (1, -math.inf if "diverged" in row.ended else -(ratio if math.isfinite(ratio) else 0), "")


def _ended(study: Study, runs: list[Run]) -> str:
    results = [study.result(run) for run in runs]
    told = []
    for status in ("diverged", "failed"):
        such = [result for result in results if result and result.status == status]
        if such:
            when = f" at {', '.join(f'{r.kimg:.3g}' for r in such)} kimg" if status == "diverged" else ""
            why = such[0].why.split("): ")[-1]
            told.append(f"{status}{when} ({len(such)} of {len(runs)}): {why}")
    missing = sum(result is None for result in results)
    return "; ".join([*told, *([f"{missing} of {len(runs)} not done"] if missing else [])])


def _seconds(rows: list[dict[str, float]]) -> float:
    """Time of training, out of the speed between rows: interruptions do not count."""
    total, before = 0.0, 0.0
    for row in rows:
        total += (row["kimg"] - before) / row["kimg_per_second"]
        before = row["kimg"]
    return total


def _last(metrics: list[list[dict[str, float]]], key: str) -> list[float]:
    """Each run's last value; rows between two evaluations of a penalty hold none."""
    found = [[row[key] for row in rows if key in row] for rows in metrics]
    return [values[-1] for values in found if values]


def _mean(values: list[float]) -> float:
    return statistics.fmean(values) if values else math.nan


def conclusion(summary: Summary) -> str:
    """A sweep's answer in words: is the default the best here, and within what band?"""
    if not summary.is_sweep:
        return ""
    default, field = summary.default_value(), summary.compared[0].variant.key.split(".")[-1]
    finished = [row for row in summary.rows if row.level and not row.ended]
    if summary.default not in finished or len(finished) < 2:
        return f"Too few runs of {field} have finished to say anything."
    best = min(finished, key=lambda row: row.level.mean)
    text = f"The default, {field} = {default:.4g}, is the best of the values tried."
    if best is not summary.default:
        comparison = best.comparison
        found = f"p = {comparison.p:.2g} after correction"
        text = (
            f"The best of the values tried is {field} = {best.variant.value}: its quality distance is "
            f"{comparison.ratio:.2f} times that of the default, {default:.4g}, "
            + (
                f"a difference this budget cannot tell from chance ({found})."
                if comparison.verdict == "no detectable effect"
                else f"and the test confirms it ({found})."
            )
        )
    ordered = sorted(
        [(float(row.variant.value), row) for row in summary.compared] + [(default, summary.default)],
        key=lambda pair: pair[0],
    )
    at = [row for _, row in ordered].index(summary.default)
    low = high = at
    alike = [row is summary.default or row.comparison.verdict == "no detectable effect" for _, row in ordered]
    while low > 0 and alike[low - 1]:
        low -= 1
    while high < len(ordered) - 1 and alike[high + 1]:
        high += 1
    if low == high:
        return f"{text} Every neighbouring value tried differs detectably from the default."
    end = "the end of what was tried" if low == 0 or high == len(ordered) - 1 else ""
    band = f"{ordered[low][0]:.4g} to {ordered[high][0]:.4g}"
    return f"{text} No value from {band} can be told from the default{f' ({end})' if end else ''}."
