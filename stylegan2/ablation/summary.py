"""A study in numbers: a row for each variant."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from statistics import fmean, geometric_mean
from typing import Any

import numpy as np
import yaml
from scipy import stats

from stylegan2.ablation.plan import DEFAULT, Variant, lookup
from stylegan2.ablation.statistics import Array, moderate
from stylegan2.ablation.study import Result, Run, Signal, Study, training_seconds
from stylegan2.ablation.verdicts import DECIDED, Comparison, Outcome, judge


@dataclass(frozen=True, kw_only=True)
class Level:
    """The quality distance of a variant: geometric mean over seeds, 95 % interval, and the value of each seed.

    The interval is that of one level alone. It holds the variation that seeds share, which comparisons do not have.
    """

    mean: float
    low: float
    high: float
    values: tuple[float, ...]


def levels(outcomes: Mapping[str, Outcome]) -> dict[str, Level]:
    """Geometric means with 95 % t intervals, whose variances are moderated. A single run has no interval."""
    if not outcomes:
        return {}
    found = moderate(np.array([outcome.logs for outcome in outcomes.values()]))
    half = found.error * stats.t.ppf(0.975, found.freedom)
    result = {}
    for i, (name, outcome) in enumerate(outcomes.items()):
        logs = outcome.logs[np.isfinite(outcome.logs)]
        if len(logs):
            mean = float(logs.mean())
            low, high = math.exp(mean - half[i]), math.exp(mean + half[i])
            values = tuple(np.exp(logs).tolist())
            result[name] = Level(mean=math.exp(mean), low=low, high=high, values=values)
    return result


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
    outcomes = outcomes_of(study)
    comparisons = judge(controls(study), outcomes, study.looks, study.margin)
    level = levels(outcomes)
    rows = []
    for variant in study.variants:
        numbers = [study.numbers(run) for run in runs[variant.name]]
        of_variant = results[variant.name]
        rows.append(
            Row(
                variant=variant,
                level=level.get(variant.name),
                comparison=comparisons.get(variant.name),
                ended=_ended(of_variant, comparisons.get(variant.name) if len(study.looks) > 1 else None),
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


def controls(study: Study) -> dict[str, str]:
    """The control of each tested variant."""
    return {variant.name: variant.control for variant in study.variants if variant.control}


def outcomes_of(study: Study) -> dict[str, Outcome]:
    """How the runs of every variant ended."""
    return {
        v.name: _outcome([study.result(Run(variant=v.name, seed=seed)) for seed in range(study.seeds)])
        for v in study.variants
    }


def _outcome(results: list[Result | None]) -> Outcome:
    distances = [r.curve[-1][1] if r and r.status == "finished" and r.curve else math.nan for r in results]
    # A logarithm needs a positive, finite distance.
    logs: Array = np.log([d if 0 < d < math.inf else math.nan for d in distances])
    return Outcome(logs=logs, diverged=[r is not None and r.status == "diverged" for r in results])


def _order(row: Row) -> tuple[int, float]:
    """Sort key of rows: the default first, then values of a sweep or effects from the largest, then controls."""
    if row.comparison is None:
        return (0 if row.variant.name == DEFAULT else 2), 0.0
    if "=" in row.variant.name:
        return 1, float(row.variant.value)
    ratio = row.comparison.ratio
    return 1, -math.inf if "diverged" in row.ended else -ratio if math.isfinite(ratio) else 0.0


def _ended(results: list[Result | None], sequential: Comparison | None) -> str:
    """How runs ended that did not finish. `sequential` is the comparison of a study that ends early if decided."""
    parts = []
    for status in ("diverged", "failed"):
        such = [result for result in results if result and result.status == status]
        if such:
            when = f" at {', '.join(f'{r.kimg:.3g}' for r in such)} kimg" if status == "diverged" else ""
            why = such[0].why.split("): ")[-1]
            parts.append(f"{status}{when} ({len(such)} of {len(results)}): {why}")
    if sequential and sequential.verdict in DECIDED and None in results:
        parts.append(f"decided after {len(results) - results.count(None)} of {len(results)} seeds")
    elif None in results:
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
