"""Comparisons with a control that has more seeds than the variants.

With k variants and one control, every comparison holds the noise of the control's mean, so √k times as many runs of
the control make the best use of a number of runs (Dunnett 1955). The runs of the control with seeds that no variant
has are not paired. They are used as far as runs of different seeds are alike:

    estimate_i = mean_j (y_ij - (1 - b)·c_j) - b·mean(extra)

Here y_ij and c_j are the logarithms of variant and control with seed j of n, and `extra` are m further runs of the
control. The estimate has no bias for any b. b = 0 is the paired difference, and b = m/(n + m) compares with the mean
of all runs of the control. With a variance s² that all runs of one seed share, and the variance v² of the control's
other noise, the best weight is b = v²/(s² + v²) · m/(n + m). s² is estimated from all runs, and taken for larger than
the estimate, because a b that is too large costs more than one that is too small.
"""

from __future__ import annotations

import math

import numpy as np

from stylegan2.ablation.statistics.moderation import Array, Moderated, moderate


def dunnett_seeds(seeds: int, comparisons: int) -> int:
    """The number of seeds of a control with so many comparisons, of variants with `seeds` each: √k times as many."""
    return math.ceil(seeds * math.sqrt(max(comparisons, 1)) - 1e-9)


def compare(ours: Array, theirs: Array, control: Array, extra: Array, with_extra: Array) -> Moderated:
    """The differences of variants and their controls, with moderated standard errors.

    Args:
        ours: Logarithms of the K variants (..., K, n). NaN marks a missing run in all arguments.
        theirs: Those of their controls with the same seeds (..., K, n).
        control: Those of the control that has further seeds, with the seeds of the variants (..., n).
        extra: Those with the further seeds (..., m).
        with_extra: Whether a variant is compared with that control (K,).
    """
    there = np.isfinite(extra).sum(axis=-1)
    if not there.any():
        return moderate(ours - theirs)
    n = np.isfinite(control).sum(axis=-1)
    runs = np.concatenate([control[..., None, :], np.where(with_extra[:, None], ours, np.nan)], axis=-2)
    shared, own = variances(runs)
    weight = own / np.maximum(own + shared, 1e-300) * there / np.maximum(n + there, 1)
    b = np.where(with_extra, weight[..., None], 0.0)
    total = np.nan_to_num(_variance(np.concatenate([control, extra], axis=-1)))

    found = moderate(ours - (1 - b)[..., None] * theirs)
    # What seeds share is seen with n seeds in the differences. If they differ less than all seeds of the control do,
    # that is chance.
    unseen = np.maximum(total - np.nan_to_num(_variance(control)), 0) / np.maximum(n, 1)
    added = b**2 * (total / np.maximum(there, 1) + unseen)[..., None]
    variance = found.error**2 + added
    # Welch and Satterthwaite's, with a share of the variances that no single variant's chance determines.
    typical = _mean(found.error**2) / np.maximum(_mean(variance), 1e-300)
    share = np.where(added > 0, typical[..., None], 1.0)
    freedom = 1 / (share**2 / found.freedom + (1 - share) ** 2 / np.maximum(n + there - 1, 1)[..., None])
    return Moderated(
        mean=found.mean - b * _mean(extra)[..., None],
        error=np.sqrt(variance),
        freedom=freedom,
        correlation=(found.correlation * typical + 1 - typical).clip(0, 0.5),
    )


def variances(runs: Array) -> tuple[Array, Array]:
    """The variance (...) that all runs of a seed share, and the usual one of a run besides.

    The first is the mean covariance of two variants, (n + 1)/(n - 1) times because it is poorly known. The second is
    the median over variants, which one noisy variant does not change.

    Args:
        runs: Logarithms (..., variants, n). NaN marks a missing run.
    """
    there = np.isfinite(runs)
    centered = np.where(there, runs - _mean(runs)[..., None], 0.0)
    of_a_seed = there.sum(axis=-2)
    pairs, n = (of_a_seed * (of_a_seed - 1)).sum(axis=-1), (of_a_seed > 1).sum(axis=-1)
    products = (centered.sum(axis=-2) ** 2 - (centered**2).sum(axis=-2)).sum(axis=-1)
    covariance = products / np.maximum(pairs, 1) * n / np.maximum(n - 1, 1)
    seeds = centered.sum(axis=-2) / np.maximum(of_a_seed, 1)
    rest = np.where(there, centered - seeds[..., None, :], np.nan)
    known = n > 1
    shared = np.where(known, np.maximum(covariance, 0) * (n + 1) / np.maximum(n - 1, 1), np.inf)
    own = _variance(rest)
    usual = np.nanmedian(np.where(np.isfinite(own).any(axis=-1, keepdims=True), own, 0.0), axis=-1)
    return shared, np.where(known, usual, 0.0)


def _mean(values: Array) -> Array:
    """Means along the last axis, without NaN. 0: there are no values."""
    there = np.isfinite(values)
    return np.where(there, values, 0.0).sum(axis=-1) / np.maximum(there.sum(axis=-1), 1)


def _variance(values: Array) -> Array:
    """Variances along the last axis, without NaN. NaN: there are fewer than two values."""
    there = np.isfinite(values)
    count = there.sum(axis=-1)
    squares = np.where(there, values - _mean(values)[..., None], 0.0) ** 2
    return np.where(count > 1, squares.sum(axis=-1) / np.maximum(count - 1, 1), np.nan)
