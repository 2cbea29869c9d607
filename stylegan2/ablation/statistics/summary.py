"""A study in numbers: a row for each variant."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import fmean, geometric_mean
from typing import Any

import numpy as np
import yaml
from scipy import stats

from stylegan2.ablation.plan.measures import Measure, measures_of
from stylegan2.ablation.plan.study import Result, Signal, Study, training_seconds
from stylegan2.ablation.plan.variants import DEFAULT, Variant, lookup
from stylegan2.ablation.statistics.moderation import Array, moderate
from stylegan2.ablation.statistics.verdicts import DECIDED, Comparison, Outcome, judge


@dataclass(frozen=True, kw_only=True)
class Level:
    """The primary measure of a variant: geometric mean over seeds, 95 % interval, and the value of each seed.

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
    most = max(len(outcome.logs) for outcome in outcomes.values())
    padded = [np.pad(o.logs, (0, most - len(o.logs)), constant_values=np.nan) for o in outcomes.values()]
    found = moderate(np.array(padded))
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
    """Geometric means over the seeds that all variants have, because weights of other seeds have another signal."""
    secondary: dict[str, Comparison] = field(default_factory=dict)
    """The comparisons of the secondary measures, by their names. Empty for a control."""

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
    measures: list[Measure]
    """The primary measure, then the secondary ones."""

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
    base = base_of(study)
    primary, *others = measures_of(study, base)
    results = {v.name: [study.result(run) for run in study.runs_of(v.name)] for v in study.variants}
    outcomes = {name: _outcome(of_variant, primary) for name, of_variant in results.items()}
    comparisons = judge(controls(study), outcomes, study.looks, study.margin)
    secondary = _secondary(study, others, results)
    level = levels(outcomes)
    shared = _seeds_with_a_signal(results.values())
    rows = []
    for variant in study.variants:
        numbers = [study.numbers(run) for run in study.runs_of(variant.name)]
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
                signal=_mean_signal(
                    [r.signal for seed, r in enumerate(of_variant) if seed in shared and r and r.signal]
                ),
                secondary={name: found[variant.name] for name, found in secondary.items() if variant.control},
            )
        )
    return Summary(study=study, rows=sorted(rows, key=_order), base=base, measures=[primary, *others])


def base_of(study: Study) -> dict[str, Any]:
    """The configuration of the study's default."""
    base: dict[str, Any] = yaml.safe_load(study.base.read_text(encoding="utf-8"))
    return base


def controls(study: Study) -> dict[str, str]:
    """The control of each tested variant."""
    return {variant.name: variant.control for variant in study.variants if variant.control}


def outcomes_of(study: Study) -> dict[str, Outcome]:
    """How the runs of every variant ended, by the primary measure."""
    primary, *_ = measures_of(study, base_of(study))
    return {
        v.name: _outcome([study.result(run) for run in study.runs_of(v.name)], primary)
        for v in study.variants
    }


def _outcome(results: list[Result | None], measure: Measure) -> Outcome:
    """A run that has not finished has no value, and whether it diverged does not depend on the measure."""
    finished = [r if r is not None and r.status == "finished" else None for r in results]
    logs: Array = np.array([measure.log(r.values(measure.curve)) if r else math.nan for r in finished])
    return Outcome(logs=logs, diverged=[r is not None and r.status == "diverged" for r in results])


def _secondary(
    study: Study, measures: Sequence[Measure], results: Mapping[str, list[Result | None]]
) -> dict[str, dict[str, Comparison]]:
    """Comparisons of the variants by measure. All of them are corrected together, as one family."""
    control = controls(study)
    found = {}
    for measure in measures:
        outcomes = {name: _outcome(of_variant, measure) for name, of_variant in results.items()}
        if measure.least:
            _leave_out_ties(control, outcomes)
        total = len(control) * len(measures)
        # Divergence belongs to the primary measure, and is tested once.
        found[measure.name] = judge(control, outcomes, study.looks, study.margin, total, divergences=False)
    return found


def _leave_out_ties(control: Mapping[str, str], outcomes: dict[str, Outcome]) -> None:
    """Take the values of a variant away that equal its control's in all pairs, as shares of images can by chance."""
    for name, other in control.items():
        ours = outcomes[name].logs
        differences = ours - outcomes[other].logs[: len(ours)]
        if not differences[np.isfinite(differences)].any():
            outcomes[name] = replace(outcomes[name], logs=np.full(len(ours), np.nan))


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


def _seeds_with_a_signal(results: Iterable[Sequence[Result | None]]) -> set[int]:
    """The seeds with which all variants have a signal, apart from variants that have none at all."""
    found = [{seed for seed, r in enumerate(of_variant) if r and r.signal} for of_variant in results]
    return set.intersection(*filter(None, found)) if any(found) else set()


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
