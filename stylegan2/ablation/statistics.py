"""The test behind the verdicts: paired over seeds, one noise for all, corrected for asking often.

The logarithm of the quality distance is taken as variant + seed + noise. Few seeds say little of the noise of
one variant, so its variance is estimated from all finished variants together: a two-way analysis of variance
without interaction. Differences from the control are tested by Student's t with its degrees of freedom,
two-sided, at 5 % after Holm's correction over all comparisons of the study.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import stats

from stylegan2.ablation.study import Study
from stylegan2.ablation.variants import tested

ALPHA = 0.05
LARGE = 2.0
"""From this factor on the quality distance, a field counts as needed rather than as helping."""

Verdict = Literal["needed", "helps", "no detectable effect", "better without", "not known"]

METHOD = (
    "Verdicts compare the logarithm of the quality distance with the control's, paired over seeds, by "
    "Student's t (two-sided, level 5 % after Holm's correction over all comparisons). One residual "
    "variance is estimated from all variants that finished with every seed (two-way analysis of "
    "variance, variant + seed). “Needed”: a run without it diverged, or the distance is at least "
    f"{LARGE:g} times as large and the test says so. “Helps”: larger, and the test says so. “Better "
    "without”: smaller, and the test says so. Intervals are 95 %, not corrected. No detectable effect "
    "at this budget is no proof of none."
)


@dataclass(frozen=True, kw_only=True)
class Level:
    """The quality distance of a variant over its seeds: geometric mean, interval, values."""

    mean: float
    low: float
    high: float
    values: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """A variant against its control."""

    verdict: Verdict
    ratio: float = math.nan
    """Quality distance over the control's, geometric mean over seeds; above 1: worse."""
    low: float = math.nan
    high: float = math.nan
    p: float = math.nan
    """After Holm's correction; NaN where there is nothing to test."""


def residual_variance(table: np.ndarray) -> tuple[float, int]:
    """(variance, degrees of freedom) of variant + seed + noise; table: (variants, seeds) of logarithms."""
    rows, columns = table.shape
    freedom = (rows - 1) * (columns - 1)
    if freedom < 1:
        return math.nan, 0
    rest = table - table.mean(axis=1, keepdims=True) - table.mean(axis=0, keepdims=True) + table.mean()
    return float((rest**2).sum() / freedom), freedom


def holm(p: Sequence[float]) -> list[float]:
    """p-values corrected by Holm's method (1979), in their order."""
    corrected, so_far = [0.0] * len(p), 0.0
    for rank, i in enumerate(sorted(range(len(p)), key=lambda i: p[i])):
        so_far = max(so_far, min(1.0, (len(p) - rank) * p[i]))
        corrected[i] = so_far
    return corrected


def distances(study: Study) -> dict[str, list[float | None]]:
    """The last quality distance of every finished run: by variant, a value a seed; None if there is none."""
    found: dict[str, list[float | None]] = {variant.name: [] for variant in study.variants}
    for run in study.runs:
        result = study.result(run)
        good = result is not None and result.status == "finished" and result.curve
        found[run.variant].append(result.curve[-1][1] if good else None)
    return found


def complete(values: Mapping[str, Sequence[float | None]]) -> dict[str, np.ndarray]:
    """Logarithms of the variants with a positive, finite value for every seed."""
    return {
        name: np.log(np.array(row, dtype=float))
        for name, row in values.items()
        if row and all(value is not None and 0 < value < math.inf for value in row)
    }


def levels(values: Mapping[str, Sequence[float | None]]) -> dict[str, Level]:
    """Geometric means with 95 % t intervals, the variance between seeds pooled over variants."""
    logs = complete(values)
    freedom = sum(len(row) - 1 for row in logs.values())
    if freedom:
        pooled = sum(((row - row.mean()) ** 2).sum() for row in logs.values()) / freedom
    found = {}
    for name, row in values.items():
        present = tuple(value for value in row if value is not None)
        if not present:
            continue
        mean = float(np.log(present).mean())
        half = math.nan
        if freedom and name in logs:
            half = float(stats.t.ppf(1 - ALPHA / 2, freedom) * math.sqrt(pooled / len(present)))
        found[name] = Level(
            mean=math.exp(mean), low=math.exp(mean - half), high=math.exp(mean + half), values=present
        )
    return found


def compare(study: Study) -> dict[str, Comparison]:
    """Every tested variant against its control, by the module's test."""
    results = {run: study.result(run) for run in study.runs}
    diverged = {run.variant for run, result in results.items() if result and result.status == "diverged"}
    logs = complete(distances(study))
    return judge({variant.name: variant.control for variant in tested(study.variants)}, logs, diverged)


def judge(
    controls: Mapping[str, str], logs: Mapping[str, np.ndarray], diverged: set[str]
) -> dict[str, Comparison]:
    """Verdicts.

    Args:
        controls: Of each tested variant the one it is compared with.
        logs: By variant, logarithms of distances, a value a seed.
        diverged: Variants of which a run diverged.
    """
    found = {
        name: Comparison(verdict="needed" if name in diverged and control not in diverged else "not known")
        for name, control in controls.items()
    }
    names = [
        name
        for name, control in controls.items()
        if name in logs and control in logs and not np.array_equal(logs[name], logs[control])
    ]
    same = [n for n, c in controls.items() if n in logs and c in logs and np.array_equal(logs[n], logs[c])]
    found |= {
        n: Comparison(verdict="no detectable effect", ratio=1.0, low=1.0, high=1.0, p=1.0) for n in same
    }
    table = np.array([row for name, row in logs.items() if name not in same])
    variance, freedom = residual_variance(table) if len(table) else (math.nan, 0)
    if not names or not freedom:
        return found
    seeds = table.shape[1]
    error = max(math.sqrt(2 * variance / seeds), 1e-12)
    differences = [float((logs[name] - logs[controls[name]]).mean()) for name in names]
    raw = [2 * float(stats.t.sf(abs(d) / error, freedom)) for d in differences]
    half = float(stats.t.ppf(1 - ALPHA / 2, freedom)) * error
    for name, d, p in zip(names, differences, holm(raw)):
        verdict: Verdict = "no detectable effect"
        if p < ALPHA:
            verdict = "better without" if d < 0 else "needed" if math.exp(d) >= LARGE else "helps"
        found[name] = Comparison(
            verdict=verdict, ratio=math.exp(d), low=math.exp(d - half), high=math.exp(d + half), p=p
        )
    return found
