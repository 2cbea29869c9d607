"""The statistics of comparisons with a control: moderated variances, a max-t correction and alpha spending.

A study has K variants and their controls, each with n seeds. Its data are differences d_ij, the logarithm of variant
i's quality distance with seed j minus that of its control with the same seed. What seeds have in common cancels.

1. The variance of a variant's differences is its own, moderated by that of the others (Smyth 2004, limma). With a few
   seeds it is poorly known, and the others say what is usual. It is never taken for smaller than what was measured,
   and the others count at most as `SHARE` times its own degrees of freedom, so that one variant that varies much more
   than the rest keeps its interval.
2. All comparisons of a study are judged together, by the distribution of the largest of K correlated t values
   (Dunnett 1955). Comparisons with one control share its noise, which correlates them by up to ½.
3. If one looks after every seed, each look may use only a part of the level (alpha spending, Lan and DeMets 1983).
   The parts add up to the level, so the error of all looks together does not exceed it.

Arrays may have any number of leading dimensions, so thousands of simulated studies are judged at once.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, special, stats

Array = NDArray[np.float64]

ALPHA = 0.05
"""Level of all comparisons of a study together, over all looks at it."""

SHARE = 2.0
"""Largest number of degrees of freedom that the other variants lend to a variance, relative to its own."""

SPENDING = 3.0
"""The level that is spent up to a share t of the seeds is ALPHA · t³, so early looks cost little."""

_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(48)
_WEIGHTS = _WEIGHTS / math.sqrt(2 * math.pi)


@dataclass(frozen=True)
class Moderated:
    """Paired differences in numbers. All arrays are (..., K). NaN: there are fewer than two differences."""

    mean: Array
    error: Array
    """Standard error of the mean, from the moderated variance."""
    freedom: Array
    """Degrees of freedom of that variance."""
    correlation: Array
    """Correlation of two comparisons, from 0 to ½. (...,)"""


def moderate(differences: Array) -> Moderated:
    """The means of paired differences with moderated standard errors.

    Args:
        differences: (..., K, n). NaN marks a missing run.
    """
    there = np.isfinite(differences)
    count = there.sum(axis=-1)
    enough = count > 1
    mean = np.where(enough, np.where(there, differences, 0).sum(axis=-1) / np.maximum(count, 1), np.nan)
    centered = np.where(there & enough[..., None], differences - mean[..., None], 0.0)
    own = np.where(enough, count - 1, 1)
    squares = (centered**2).sum(axis=-1)
    variance = np.where(enough, squares / own, np.nan)
    lent, usual = _prior(variance, own)
    share = SHARE * np.maximum(1 - 3 / np.maximum(enough.sum(axis=-1), 3), 0)
    lent = np.minimum(lent[..., None], share[..., None] * own)
    moderated = (own * variance + lent * usual[..., None]) / (own + lent)
    error = np.sqrt(np.maximum(moderated, variance) / np.maximum(count, 1))
    return Moderated(mean, error, np.where(enough, own + lent, np.nan), _correlation(centered, squares))


def _prior(variance: Array, freedom: Array) -> tuple[Array, Array]:
    """(degrees of freedom, variance) of what is usual among K variances, by the moments of their logarithms.

    Three variances or fewer say nothing about what is usual, and give 0 degrees of freedom.
    """
    used = np.isfinite(variance) & (variance > 0)
    k = used.sum(axis=-1)
    half = freedom / 2
    logs = np.where(used, np.log(np.where(used, variance, 1)) - special.digamma(half) + np.log(half), 0)
    center = logs.sum(axis=-1) / np.maximum(k, 1)
    spread = np.where(used, (logs - center[..., None]) ** 2, 0).sum(axis=-1) / np.maximum(k - 1, 1)
    excess = spread - np.where(used, special.polygamma(1, half), 0).sum(axis=-1) / np.maximum(k, 1)
    # Half the degrees of freedom is the number whose trigamma is the excess. Variances that differ no more than
    # chance makes them have no excess, and infinitely many.
    lent = 2 * _inverse_trigamma(np.maximum(excess, 1e-6))
    usual = np.exp(center + special.digamma(lent / 2) - np.log(lent / 2))
    return np.where(k < 4, 0.0, lent), np.where(k < 4, 1.0, usual)


def _inverse_trigamma(x: Array) -> Array:
    """The y with trigamma(y) = x, by Newton's method (Smyth 2004, appendix)."""
    y = 0.5 + 1 / x
    for _ in range(8):
        value = special.polygamma(1, y)
        y = y + value * (1 - value / x) / special.polygamma(2, y)
    return y


def _correlation(centered: Array, squares: Array) -> Array:
    """The mean covariance of two comparisons over their mean variance, within 0 and ½, which equal noise gives."""
    k = (squares > 0).sum(axis=-1)
    together = (centered.sum(axis=-2) ** 2).sum(axis=-1)
    total = squares.sum(axis=-1)
    found = (together - total) / np.maximum(total * (k - 1), 1e-300)
    return np.where(k > 1, np.clip(found, 0.0, 0.5), 0.0)


def corrected_p(found: Moderated, comparisons: int, shift: float | Array = 0.0) -> Array:
    """p-values (..., K) of the means against `shift`, two-sided, corrected for a number of comparisons.

    A t value is translated to the normal deviate of equal probability. Its p-value is the probability that the
    largest of `comparisons` equally correlated deviates is as large.
    """
    t = np.abs(found.mean - shift) / np.maximum(found.error, 1e-300)
    deviate = stats.norm.isf(np.maximum(stats.t.sf(t, found.freedom), 1e-300))
    return _largest_exceeds(deviate, found.correlation[..., None], comparisons)


def half_widths(found: Moderated, comparisons: int, level: float = ALPHA) -> Array:
    """Half the widths (K,) of simultaneous intervals, which exclude what `corrected_p` rejects at the level."""
    return found.error * critical(found.freedom, float(found.correlation), comparisons, level)


def critical(freedom: Array | float, correlation: float, comparisons: int, level: float) -> Array:
    """The t values, for some degrees of freedom, whose corrected p-value is the level."""

    def excess(deviate: float) -> float:
        return float(_largest_exceeds(np.array(deviate), np.array(correlation), comparisons)) - level

    deviate = optimize.brentq(excess, 0.0, 12.0, xtol=1e-10)
    return np.asarray(stats.t.isf(stats.norm.sf(deviate), freedom))


def _largest_exceeds(deviate: Array, correlation: Array, comparisons: int) -> Array:
    """P(max_k |Z_k| > deviate) for Z_k = √ρ·U + √(1-ρ)·V_k, by integration over U."""
    shared, own = np.sqrt(correlation)[..., None], np.sqrt(1 - correlation)[..., None]
    z = deviate[..., None]
    one = special.ndtr((shared * _NODES - z) / own) + special.ndtr(-(shared * _NODES + z) / own)
    one = np.minimum(one, 1 - 1e-16)
    return (-np.expm1(comparisons * np.log1p(-one)) * _WEIGHTS).sum(axis=-1)


def spent(looks: Sequence[int]) -> list[float]:
    """The level of each look at a study, as the number of seeds grows. They add up to ALPHA.

    Args:
        looks: Numbers of seeds, ascending. The last is that of the whole study.
    """
    used = [ALPHA * (n / looks[-1]) ** SPENDING for n in looks]
    return [now - before for before, now in zip([0.0, *used], used)]


@lru_cache
def divergence_p(ours: int, runs: int, theirs: int, control_runs: int) -> float:
    """p-value of a larger share of diverged runs than that of the control, by Boschloo's exact test, one-sided.

    3 of 3 runs against 0 of 3 give 0.016, and 1 of 3 against 0 of 3 gives 0.3.
    """
    if not runs or not control_runs or ours * control_runs <= theirs * runs:
        return 1.0
    table = [[ours, theirs], [runs - ours, control_runs - theirs]]
    return float(stats.boschloo_exact(table, alternative="greater").pvalue)
