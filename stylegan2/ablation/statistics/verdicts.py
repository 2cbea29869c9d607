"""The verdict on every variant of a study, and the interval that it follows from."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from scipy import stats

from stylegan2.ablation.statistics.controls import compare
from stylegan2.ablation.statistics.moderation import (
    ALPHA,
    Array,
    corrected_p,
    divergence_p,
    half_widths,
    spent,
)

POWER = 0.8
"""Probability with which a detectable effect is found."""

LARGE = 2.0
"""Smallest factor on the quality distance for the verdict "needed". A smaller factor gives "helps"."""

Verdict = Literal[
    "needed", "helps", "equivalent", "no detectable effect", "undecided", "better without", "not known"
]
UNDETECTED = ("equivalent", "no detectable effect", "undecided")
"""Verdicts without a significant difference. They differ in what the interval excludes."""
DECIDED = ("needed", "helps", "equivalent", "no detectable effect", "better without")
"""Verdicts that more seeds need not change."""


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """A variant compared with its control."""

    verdict: Verdict
    ratio: float = math.nan
    """Quality distance over that of the control (geometric mean over seeds). Above 1 the variant is worse. It uses
    all runs of the control, see `controls`."""
    low: float = math.nan
    high: float = math.nan
    """Ends of the interval of the ratio. All intervals of a study hold together with a probability of 95 %."""
    p: float = math.nan
    """p-value, corrected for all comparisons and looks. NaN if there is nothing to test."""
    detectable: float = math.nan
    """The smallest ratio that the study would have seen with a probability of 80 %, given the noise found."""
    ratios: tuple[float, ...] = ()
    """The ratio of each pair of runs with one seed."""
    divergences: float = math.nan
    """The smallest number of diverged runs that the study calls significant if none of the control's diverges.
    Infinite: it has too few seeds for any. NaN: no run of the variant diverged."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How the runs of a variant ended, seed by seed."""

    logs: Array
    """Logarithms of the quality distances (seeds,). NaN: the run has not finished."""
    diverged: Sequence[bool]
    """Whether each run diverged (seeds,)."""

    def first(self, seeds: int, of: int | None = None) -> tuple[int, int]:
        """(diverged runs, ended runs) among the first seeds, and among those from `of` on that a control may have."""
        last = len(self.logs) if of is None else of
        lost = sum(self.diverged[:seeds]) + sum(self.diverged[last:])
        return lost, lost + int(np.isfinite(np.r_[self.logs[:seeds], self.logs[last:]]).sum())


def method(looks: Sequence[int], margin: float, extra: int = 0) -> str:
    """How verdicts come about, as a paragraph of the report. The default has `extra` seeds more than the others."""
    sequential = (
        f"The study was looked at after {', '.join(map(str, looks[:-1]))} and {looks[-1]} seeds. Each look used a "
        "part of the level of 5 % (alpha spending). "
        if len(looks) > 1
        else ""
    )
    further = (
        f"The default has {extra} further seeds. They count as far as runs of different seeds are alike. "
        if extra
        else ""
    )
    return (
        "Verdicts compare the logarithm of the primary measure with the control's, in pairs of equal seed. "
        f"{further}The variance of a variant's differences is moderated by that of the others, and never taken for "
        "smaller than measured. All comparisons are corrected together by the distribution of the largest of their t "
        "values (Dunnett), so that a study without any effect names one in at most 5 % of cases. "
        f"{sequential}Intervals are corrected in the same way: all of them hold together in 95 % of studies, and a "
        f"difference is significant if its interval excludes 1. “Needed”: the distance is at least {LARGE:g} times "
        "as large and significantly larger, or significantly more runs diverge (Boschloo's exact test, in which a "
        "single diverged run is never enough). “Helps”: the distance is significantly larger. “Better without”: it "
        f"is significantly smaller. “Equivalent”: the interval lies within a factor of {margin:g} in both "
        "directions (two one-sided tests). “No detectable effect”: the difference is not significant, and the "
        f"interval excludes a factor of {LARGE:g} in both directions. “Undecided”: the difference is not "
        f"significant, but a factor of {LARGE:g} is possible. “Could see” is the smallest factor that this study "
        "finds with a probability of 80 %."
    )


def judge(
    controls: Mapping[str, str],
    outcomes: Mapping[str, Outcome],
    looks: Sequence[int],
    margin: float = 1.1,
    comparisons: int | None = None,
    divergences: bool = True,
) -> dict[str, Comparison]:
    """Compare every tested variant with its control.

    Args:
        controls: The control of each tested variant.
        outcomes: How the runs of every variant ended. Those of one control may have more seeds than the others.
        looks: Numbers of seeds after which the study is looked at, ascending. The last is that of the whole study.
        margin: Largest factor between equivalent distances.
        comparisons: Number of comparisons that are corrected together. None: one for each tested variant.
        divergences: Whether divergences are tested too.

    Returns:
        A comparison for each tested variant, by its name.
    """
    if not controls:
        return {}
    tests = [_Test(outcomes[n], outcomes[control], looks[-1], divergences) for n, control in controls.items()]
    k = comparisons or len(tests)
    evidence = _evidence(tests, looks, k)
    return {name: _compared(test, e, margin, k) for name, test, e in zip(controls, tests, evidence)}


@dataclass(frozen=True)
class _Test:
    """A variant and its control."""

    ours: Outcome
    theirs: Outcome
    seeds: int
    """Number of seeds of the variant. The control may have more."""
    with_divergences: bool

    @property
    def differences(self) -> Array:
        return self.ours.logs - self.theirs.logs[: self.seeds]

    @property
    def is_equal(self) -> bool:
        """Whether the variant equals its control bit for bit, which gives no information about noise."""
        there = self.differences[np.isfinite(self.differences)]
        return len(there) > 0 and not there.any()

    @property
    def parts(self) -> int:
        """2 if any run diverged. Distances and divergences are then tested with half of the level each."""
        return 2 if self.with_divergences and any([*self.ours.diverged, *self.theirs.diverged]) else 1

    def counts(self, seeds: int) -> tuple[int, int, int, int]:
        """Diverged and ended runs of the variant and of its control, in a look after so many seeds."""
        return *self.ours.first(seeds), *self.theirs.first(seeds, self.seeds)

    def has_ended(self, seeds: int) -> bool:
        _, ours, _, theirs = self.counts(seeds)
        return ours == seeds and theirs == seeds + len(self.theirs.logs) - self.seeds


@dataclass
class _Evidence:
    """What the looks at one comparison say together."""

    mean: float = math.nan
    """Logarithm of the ratio, at the latest look."""
    low: float = -math.inf
    high: float = math.inf
    p: float = 1.0
    divergence_p: float = 1.0
    reach: float = math.nan
    """Logarithm of the smallest effect that the latest look could see."""


def _evidence(tests: Sequence[_Test], looks: Sequence[int], k: int) -> list[_Evidence]:
    """The evidence on each comparison. The intervals of several looks hold together, so they are intersected."""
    found = [_Evidence() for _ in tests]
    blank = np.full(looks[-1], np.nan)
    ours = np.array([blank if t.is_equal else t.ours.logs for t in tests])
    theirs = np.array([t.theirs.logs[: t.seeds] for t in tests])
    largest = max((t.theirs.logs for t in tests), key=len)  # the one control with more seeds, if there is one
    with_extra = np.array([t.theirs.logs is largest for t in tests])
    for seeds, level in zip(looks, spent(looks)):
        at = compare(ours[:, :seeds], theirs[:, :seeds], largest[:seeds], largest[looks[-1] :], with_extra)
        widths = {parts: half_widths(at, k, level / parts) for parts in (1, 2)}
        p = corrected_p(at, k) * ALPHA / level
        for i, (test, e) in enumerate(zip(tests, found)):
            if len(looks) > 1 and not test.has_ended(seeds):
                continue  # this look has not taken place
            exact = divergence_p(*test.counts(seeds)) if test.with_divergences else 1.0
            e.divergence_p = min(e.divergence_p, exact * k * test.parts * ALPHA / level)
            if math.isfinite(at.error[i]):
                half = widths[test.parts][i]
                e.mean = float(at.mean[i])
                e.low, e.high = max(e.low, at.mean[i] - half), min(e.high, at.mean[i] + half)
                e.p = min(e.p, float(p[i]) * test.parts)
                e.reach = half + float(stats.t.isf(1 - POWER, at.freedom[i])) * at.error[i]
    return found


def _compared(test: _Test, e: _Evidence, margin: float, k: int) -> Comparison:
    there = test.differences[np.isfinite(test.differences)]
    ratios = tuple(np.exp(there).tolist())
    if test.is_equal:
        return Comparison(
            verdict="equivalent", ratio=1.0, low=1.0, high=1.0, p=1.0, detectable=1.0, ratios=ratios
        )
    measured, p = math.isfinite(e.mean), min(e.p, e.divergence_p)
    mean = e.mean if measured else float(there.mean()) if len(there) else math.nan
    if e.divergence_p < ALPHA:
        verdict: Verdict = "needed"
    elif measured:
        verdict = _by_distance(mean, e.low, e.high, margin)
    else:
        verdict = "undecided" if test.with_divergences and any(test.ours.diverged) else "not known"
    found = Comparison(
        verdict=verdict,
        ratio=math.exp(mean),
        p=p if p < 1 else math.nan,
        ratios=ratios,
        divergences=_divergences(test, k) if test.parts == 2 and any(test.ours.diverged) else math.nan,
    )
    if not measured:
        return found
    return replace(
        found, low=math.exp(e.low), high=math.exp(e.high), p=min(p, 1.0), detectable=math.exp(e.reach)
    )


def _divergences(test: _Test, k: int) -> float:
    """The smallest number of diverged runs of the variant that is significant, see `Comparison`."""
    numbers = range(1, test.seeds + 1)
    enough = (n for n in numbers if divergence_p(n, test.seeds, 0, len(test.theirs.logs)) * k * 2 < ALPHA)
    return next(enough, math.inf)


def _by_distance(mean: float, low: float, high: float, margin: float) -> Verdict:
    if low > 0:
        return "needed" if mean >= math.log(LARGE) else "helps"
    if high < 0:
        return "better without"
    if -math.log(margin) < low and high < math.log(margin):
        return "equivalent"
    return "no detectable effect" if -math.log(LARGE) < low and high < math.log(LARGE) else "undecided"
