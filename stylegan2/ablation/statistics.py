"""The statistics of a study: the test behind the verdicts, and a row of numbers for each variant.

The model of the logarithm of the quality distance is variant + seed + noise. A few seeds do not determine the noise
of one variant, so its variance is estimated from all finished variants together (two-way analysis of variance
without interaction). Differences from the control are tested by Student's t with the degrees of freedom of that
estimate, two-sided, at 5 % after Holm's correction over all comparisons of the study.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, geometric_mean
from typing import Any, Literal

import numpy as np
import yaml
from scipy import stats

from stylegan2.ablation.plan import DEFAULT, Variant, lookup
from stylegan2.ablation.study import Result, Run, Signal, Study, training_seconds

ALPHA = 0.05
LARGE = 2.0
"""Smallest factor on the quality distance for the verdict "needed". A smaller factor gives "helps"."""

Verdict = Literal["needed", "helps", "no detectable effect", "undecided", "better without", "not known"]
UNDETECTED = ("no detectable effect", "undecided")
"""Verdicts without a significant difference. They differ in what the interval excludes."""

METHOD = (
    "Verdicts compare the logarithm of the quality distance with the control's, paired over seeds, by "
    "Student's t (two-sided, level 5 % after Holm's correction over all comparisons). One residual "
    "variance is estimated from all variants that finished with every seed (two-way analysis of "
    "variance, variant + seed). “Needed”: a run without it diverged, or the distance is at least "
    f"{LARGE:g} times as large and significantly larger. “Helps”: the distance is significantly larger. “Better "
    "without”: it is significantly smaller. Intervals are 95 % intervals without correction. “No detectable "
    f"effect”: the difference is not significant, and its interval excludes a factor of {LARGE:g} in both "
    f"directions. “Undecided”: the difference is not significant, but a factor of {LARGE:g} is possible. More seeds "
    "or longer runs can decide it."
)


@dataclass(frozen=True, kw_only=True)
class Level:
    """The quality distance of a variant: geometric mean over seeds, 95 % interval, and the value of each seed."""

    mean: float
    low: float
    high: float
    values: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """A variant compared with its control."""

    verdict: Verdict
    ratio: float = math.nan
    """Quality distance over that of the control (geometric mean over seeds). Above 1 the variant is worse."""
    low: float = math.nan
    high: float = math.nan
    p: float = math.nan
    """p-value after Holm's correction. NaN if there is nothing to test."""


def residual_variance(table: np.ndarray) -> tuple[float, int]:
    """(variance, degrees of freedom) of the noise in the model variant + seed + noise. NaN and 0 if unknown.

    `table` is (variants, seeds).
    """
    rows, columns = table.shape
    freedom = (rows - 1) * (columns - 1)
    if freedom < 1:
        return math.nan, 0
    rest = table - table.mean(axis=1, keepdims=True) - table.mean(axis=0, keepdims=True) + table.mean()
    return float((rest**2).sum() / freedom), freedom


def holm(p: Sequence[float]) -> list[float]:
    """The p-values after correction by Holm's method (1979), in the given order."""
    corrected, largest = [0.0] * len(p), 0.0
    for rank, i in enumerate(sorted(range(len(p)), key=lambda i: p[i])):
        largest = max(largest, min(1.0, (len(p) - rank) * p[i]))
        corrected[i] = largest
    return corrected


def judge(
    controls: Mapping[str, str], logs: Mapping[str, np.ndarray], diverged: set[str]
) -> dict[str, Comparison]:
    """Compare every tested variant with its control.

    Args:
        controls: The control of each tested variant.
        logs: Logarithms of the quality distances (seeds,), for the variants that finished with every seed.
        diverged: Variants with at least one diverged run.

    Returns:
        A comparison for each tested variant, by its name.
    """
    comparisons = {
        name: Comparison(verdict="needed" if name in diverged and control not in diverged else "not known")
        for name, control in controls.items()
    }
    pairs = {name: (logs[name], logs[c]) for name, c in controls.items() if name in logs and c in logs}
    # A variant that equals its control bit for bit gives no information about noise.
    equal = {name for name, (ours, theirs) in pairs.items() if np.array_equal(ours, theirs)}
    for name in equal:
        comparisons[name] = Comparison(verdict="no detectable effect", ratio=1.0, low=1.0, high=1.0, p=1.0)
    differences = {n: float((ours - theirs).mean()) for n, (ours, theirs) in pairs.items() if n not in equal}
    table = np.array([row for name, row in logs.items() if name not in equal])
    variance, freedom = residual_variance(table) if len(table) else (math.nan, 0)
    if not freedom:
        return comparisons
    error = max(math.sqrt(2 * variance / table.shape[1]), 1e-12)
    half = float(stats.t.ppf(1 - ALPHA / 2, freedom)) * error
    p_values = holm([2 * float(stats.t.sf(abs(d) / error, freedom)) for d in differences.values()])
    for (name, d), p in zip(differences.items(), p_values):
        verdict: Verdict = "no detectable effect" if abs(d) + half < math.log(LARGE) else "undecided"
        if p < ALPHA:
            verdict = "better without" if d < 0 else "needed" if math.exp(d) >= LARGE else "helps"
        comparisons[name] = Comparison(
            verdict=verdict, ratio=math.exp(d), low=math.exp(d - half), high=math.exp(d + half), p=p
        )
    return comparisons


def levels(values: Mapping[str, Sequence[float]], logs: Mapping[str, np.ndarray]) -> dict[str, Level]:
    """Geometric means with 95 % t intervals. Variants that finished with every seed share one variance.

    Args:
        values: Positive quality distances of the finished runs of each variant.
        logs: The argument `logs` of `judge`.
    """
    freedom = sum(len(row) - 1 for row in logs.values())
    pooled = sum(((row - row.mean()) ** 2).sum() for row in logs.values()) / max(freedom, 1)
    found = {}
    for name, row in values.items():
        if not row:
            continue
        mean, half = float(np.log(row).mean()), math.nan
        if freedom and name in logs:
            half = float(stats.t.ppf(1 - ALPHA / 2, freedom) * math.sqrt(pooled / len(row)))
        found[name] = Level(
            mean=math.exp(mean), low=math.exp(mean - half), high=math.exp(mean + half), values=tuple(row)
        )
    return found


# ---- a study in numbers


@dataclass(frozen=True, kw_only=True)
class Row:
    """One variant of a study."""

    variant: Variant
    level: Level | None
    comparison: Comparison | None
    """None for a control."""
    ended: str
    """How runs ended that did not finish, such as "diverged at 0.3 kimg (2 of 3): loss_d is NaN or infinite"."""
    r1: float
    path_length: float
    seconds: float
    """Mean training time per run, in seconds."""
    curves: list[list[tuple[float, float]]]
    """One curve per seed: pairs (kimg, quality distance) in the order of training. Curves may be empty."""
    signal: Signal | None
    """Geometric means over seeds."""

    @property
    def verdict(self) -> str:
        return self.comparison.verdict if self.comparison else "control"


@dataclass(frozen=True, kw_only=True)
class Summary:
    """A study with a row of numbers for each variant."""

    study: Study
    rows: list[Row]
    """The default first, then the tested variants by effect (or by value in a sweep), then other controls."""
    base: dict[str, Any]

    @property
    def default(self) -> Row:
        return self.rows[0]

    @property
    def compared(self) -> list[Row]:
        return [row for row in self.rows if row.comparison]

    @property
    def swept(self) -> str:
        """The name of the constant that a sweep tries. "" for ablations."""
        names = {row.variant.key.split(".")[-1] for row in self.compared if "=" in row.variant.name}
        return names.pop() if len(names) == 1 else ""

    def by_value(self) -> list[tuple[float, Row]]:
        """The values of a sweep with their rows, in ascending order, with that of the default if it is a number."""
        pairs = [(float(row.variant.value), row) for row in self.compared]
        if not math.isnan(self.default_value):
            pairs.append((self.default_value, self.default))
        return sorted(pairs, key=lambda pair: pair[0])

    @property
    def default_value(self) -> float:
        """The value of the swept constant in the base configuration, or NaN if it is not a number."""
        value = lookup(self.base, self.compared[0].variant.key)
        return float(value) if isinstance(value, (int, float)) else math.nan


def summarize(study: Study) -> Summary:
    """Evaluate the runs of a study that have ended."""
    runs = {v.name: [Run(variant=v.name, seed=seed) for seed in range(study.seeds)] for v in study.variants}
    results = {name: [study.result(run) for run in of_variant] for name, of_variant in runs.items()}
    values = {
        name: [r.curve[-1][1] for r in of_variant if r and r.status == "finished" and r.curve]
        for name, of_variant in results.items()
    }
    # A logarithm needs a positive, finite distance.
    values = {name: [v for v in row if 0 < v < math.inf] for name, row in values.items()}
    logs = {name: np.log(row) for name, row in values.items() if len(row) == study.seeds}
    diverged = {
        name for name, of_variant in results.items() if any(r and r.status == "diverged" for r in of_variant)
    }
    comparisons = judge({v.name: v.control for v in study.variants if v.control}, logs, diverged)
    level = levels(values, logs)
    rows = []
    for variant in study.variants:
        numbers = [study.numbers(run) for run in runs[variant.name]]
        of_variant = results[variant.name]
        rows.append(
            Row(
                variant=variant,
                level=level.get(variant.name),
                comparison=comparisons.get(variant.name),
                ended=_ended(of_variant),
                r1=_mean_of_last(numbers, "r1"),
                path_length=_mean_of_last(numbers, "path_length_mean"),
                seconds=_mean(training_seconds(rows) for rows in numbers if rows),
                curves=[result.curve if result else [] for result in of_variant],
                signal=_mean_signal([result.signal for result in of_variant if result and result.signal]),
            )
        )
    return Summary(
        study=study,
        rows=sorted(rows, key=_order),
        base=yaml.safe_load(study.base.read_text(encoding="utf-8")),
    )


def _order(row: Row) -> tuple[int, float]:
    """Sort key of rows: the default first, then values of a sweep or effects from the largest, then controls."""
    if row.comparison is None:
        return (0 if row.variant.name == DEFAULT else 2), 0.0
    if "=" in row.variant.name:
        return 1, float(row.variant.value)
    ratio = row.comparison.ratio
    return 1, -math.inf if "diverged" in row.ended else -ratio if math.isfinite(ratio) else 0.0


def _ended(results: list[Result | None]) -> str:
    parts = []
    for status in ("diverged", "failed"):
        such = [result for result in results if result and result.status == status]
        if such:
            when = f" at {', '.join(f'{r.kimg:.3g}' for r in such)} kimg" if status == "diverged" else ""
            why = such[0].why.split("): ")[-1]
            parts.append(f"{status}{when} ({len(such)} of {len(results)}): {why}")
    if None in results:
        parts.append(f"{results.count(None)} of {len(results)} not done")
    return "; ".join(parts)


def _mean_of_last(numbers: list[list[dict[str, float]]], key: str) -> float:
    """Mean over runs of the last value of `key`. Rows without an evaluation of the penalty have no value."""
    present = [[row[key] for row in rows if key in row] for rows in numbers]
    return _mean(values[-1] for values in present if values)


def _mean(values: Iterable[float]) -> float:
    values = list(values)
    return fmean(values) if values else math.nan


def _mean_signal(signals: list[Signal]) -> Signal | None:
    if not signals:
        return None

    def means(rows: list[dict[str, float]]) -> dict[str, float]:
        return {name: geometric_mean(max(row[name], 1e-30) for row in rows) for name in rows[0]}

    return Signal(
        discriminator=means([signal.discriminator for signal in signals]),
        generator=means([signal.generator for signal in signals]),
        logits_std=geometric_mean(max(signal.logits_std, 1e-30) for signal in signals),
    )
