"""The best value of a hyperparameter, the values that train, and how both move with the size, with 95 % intervals.

All is computed on log₂ of the value and of the score, so lengths and shifts are octaves. Seeds are the units that
vary: what is not the same for all of them is uncertain.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Array = NDArray[np.float64]
Rows = NDArray[np.int_]

TRAINS = 1.5
"""A value trains if its score is at most this factor times the best one of the default."""

NEAR = 2.0
"""The parabola is fitted to the values whose score is at most this factor times the best one of the curve."""


@dataclass(frozen=True)
class Interval:
    """An estimate with its 95 % interval."""

    estimate: float
    low: float = -math.inf
    high: float = math.inf

    @property
    def is_known(self) -> bool:
        """Whether the interval has two ends."""
        return math.isfinite(self.low) and math.isfinite(self.high)


@dataclass(frozen=True)
class Range:
    """Values that train, in log₂."""

    low: float
    high: float
    is_low_open: bool = False
    """Whether the first value that was tried trains, so that lower ones may."""
    is_high_open: bool = False

    @property
    def octaves(self) -> float:
        return max(self.high - self.low, 0.0)

    @property
    def is_open(self) -> bool:
        """Whether the range may be longer."""
        return self.octaves > 0 and (self.is_low_open or self.is_high_open)


NOTHING = Range(0.0, 0.0)
"""The range of a curve of which no value trains."""


def optimum(values: Sequence[float], scores: Array) -> Interval:
    """log₂ of the best value, which is the vertex of a parabola, with Fieller's interval.

    A parabola is fitted to each seed's curve near its minimum. Where the optimum is, the mean slope of these
    parabolas is 0. The interval has all places where Student's t over the seeds does not reject that. For normal
    noise it is exact with as few as two seeds, which a bootstrap of three seeds is not. It is infinite where the
    curvature cannot be told from 0.

    The vertex is the minimum of a curve that is about symmetric near it. If one side is twice as steep as the other,
    the vertex is about 0.3 octaves towards the flatter side. The same at two sizes, this cancels in their shift.

    Args:
        values: Values of the hyperparameter in ascending order.
        scores: (seeds, values). Infinite ones have diverged.

    Returns:
        An estimate of NaN if the best value is the first or the last one, or the curve has no minimum.
    """
    x, y = np.log2(values), np.log2(scores)
    window = _near(y)
    if window is None:
        return Interval(math.nan)
    center = x[window].mean()
    curvature, slope, _ = np.polyfit(x[window] - center, y[:, window].T, 2)
    a, b, n = slope, 2 * curvature, len(y)
    if b.mean() <= 0:
        return Interval(math.nan)
    estimate = float(center - a.mean() / b.mean())
    # (mean a + x·mean b)² ≤ t²·var(a + x·b)/n is a quadratic inequality in x.
    t = stats.t.ppf(0.975, n - 1) ** 2 / n
    (var_a, cov), (_, var_b) = t * np.cov(a, b)
    square, linear = b.mean() ** 2 - var_b, a.mean() * b.mean() - cov
    discriminant = linear**2 - square * (a.mean() ** 2 - var_a)
    if square <= 0 or discriminant < 0:
        return Interval(estimate)
    half = math.sqrt(discriminant)
    return Interval(
        estimate, float(center + (-linear - half) / square), float(center + (-linear + half) / square)
    )


def _near(y: Array) -> slice | None:
    """The columns around the minimum of the mean curve. None: it is at an end, or too near to what diverged."""
    mean = y.mean(axis=0)
    best = int(np.argmin(mean))
    if best in (0, len(mean) - 1) or not np.isfinite(mean[best - 1 : best + 2]).all():
        return None
    low, high = _around(mean, mean[best] + math.log2(NEAR), best)
    return slice(min(low, best - 1), max(high, best + 1) + 1)


def _around(mean: Array, level: float, best: int) -> tuple[int, int]:
    """The first and last column of the values around the best one that are at most at a level."""
    low = high = best
    while low > 0 and mean[low - 1] <= level:
        low -= 1
    while high < len(mean) - 1 and mean[high + 1] <= level:
        high += 1
    return low, high


def shift(first: Interval, last: Interval) -> Interval:
    """The difference of two optima, whose interval follows from theirs (MOVER, Zou and Donner 2008)."""
    d = last.estimate - first.estimate
    if not (first.is_known and last.is_known):
        return Interval(d)
    low = d - math.hypot(last.estimate - last.low, first.high - first.estimate)
    high = d + math.hypot(last.high - last.estimate, first.estimate - first.low)
    return Interval(d, low, high)


def trains(values: Sequence[float], scores: Array, default: Array) -> Range:
    """The values around the best one that train: the mean over seeds is at most 1.5 times the default's best.

    Between two values, the curve is a straight line in the logarithms. Means are geometric, and a value with a
    diverged seed does not train.

    Args:
        values: Values of the hyperparameter in ascending order.
        scores: (seeds, values).
        default: Scores of the default at the same size.
    """
    x, mean = np.log2(values), np.log2(scores).mean(axis=0)
    level = float(np.log2(default).mean(axis=0).min()) + math.log2(TRAINS)
    best = int(np.argmin(mean))
    if not mean[best] <= level:
        return NOTHING
    low, high = _around(mean, level, best)

    def crossing(inside: int, outside: int) -> float:
        """Where the curve reaches the level between two neighbors."""
        if not 0 <= outside < len(x):
            return float(x[inside])
        share = (level - mean[inside]) / (mean[outside] - mean[inside])  # 0 beside a diverged value
        return float(x[inside] + share * (x[outside] - x[inside]))

    return Range(crossing(low, low - 1), crossing(high, high + 1), low == 0, high == len(x) - 1)


def overlap(ranges: Sequence[Range]) -> Range:
    """The values that are in every range."""
    if not all(each.octaves for each in ranges):
        return NOTHING
    low, high = max(each.low for each in ranges), min(each.high for each in ranges)
    if low >= high:
        return NOTHING
    is_low_open = all(each.is_low_open for each in ranges)
    return Range(low, high, is_low_open, all(each.is_high_open for each in ranges))


def jackknife(statistic: Callable[[Rows], float], seeds: int) -> Interval:
    """A statistic of all seeds, with Student's interval of its jackknife pseudo-values (Tukey 1958).

    Args:
        statistic: Function of the numbers of the seeds that it uses.
        seeds: How many there are: 2 or more.
    """
    everyone = np.arange(seeds)
    estimate = statistic(everyone)
    without = np.array([statistic(np.delete(everyone, seed)) for seed in everyone])
    # A pseudo-value is n·(of all) - (n - 1)·(without the seed).
    half = float(stats.t.ppf(0.975, seeds - 1) * (seeds - 1) * without.std(ddof=1) / math.sqrt(seeds))
    return Interval(estimate, estimate - half, estimate + half)
