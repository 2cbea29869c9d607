"""The statistics behind the verdicts: their errors and coverage in simulated studies, and their parts."""

import numpy as np
import pytest
from scipy import stats

from stylegan2.ablation.statistics.moderation import (
    ALPHA,
    Moderated,
    corrected_p,
    critical,
    divergence_p,
    half_widths,
    moderate,
    spent,
)

STUDIES = 4000
MONTE_CARLO = 3 * np.sqrt(0.05 * 0.95 / STUDIES)
"""Three standard errors of a frequency of 5 % in so many studies."""


def simulated(scale, looks, control=1.0, seed=0):
    """(family-wise error, coverage of each variant) of studies without any effect.

    Seeds have a common effect, the control has noise of its own, and variant k has `scale[k]` times unit noise.
    """
    random, scale = np.random.default_rng(seed), np.array(scale)
    shape = (STUDIES, len(scale), looks[-1])
    common = 3 * random.normal(size=(STUDIES, 1, looks[-1]))
    controls = common + control * random.normal(size=common.shape)
    differences = common + random.normal(size=shape) * scale[:, None] - controls
    missed = np.zeros(shape[:2], dtype=bool)
    for n, level in zip(looks, spent(looks)):
        missed |= corrected_p(moderate(differences[..., :n]), len(scale)) < level
    return missed.any(axis=1).mean(), 1 - missed.mean(axis=0)


ALIKE, ONE_NOISY = [1.0] * 16, [5.0] + [1.0] * 15


@pytest.mark.parametrize("looks", [[3], [5], [3, 4, 5, 6, 7, 8, 9, 10], [3, 6, 10]], ids=str)
@pytest.mark.parametrize(
    "scale", [ALIKE, ONE_NOISY, [5.0, *[1.0] * 4]], ids=["16 alike", "1 noisy", "1 of 5"]
)
def test_a_study_without_effects_names_one_in_five_percent_and_every_interval_covers(scale, looks):
    error, coverage = simulated(scale, looks)
    assert error <= 0.05 + MONTE_CARLO
    assert coverage.min() >= 0.93


@pytest.mark.parametrize("control", [0.1, 5.0])
def test_the_noise_of_the_control_may_be_small_or_large(control):
    error, coverage = simulated(ALIKE, [3], control)
    assert error <= 0.05 + MONTE_CARLO and coverage.min() >= 0.93


def test_looking_after_every_seed_without_spending_errs_more_often():
    """What the spending is for: the same test at the full level after each of eight looks."""
    random = np.random.default_rng(0)
    differences = random.normal(size=(STUDIES, 16, 10)) - random.normal(size=(STUDIES, 1, 10))
    missed = [(corrected_p(moderate(differences[..., :n]), 16) < ALPHA).any(axis=1) for n in range(3, 11)]
    assert np.any(missed, axis=0).mean() > 0.08


def test_a_single_comparison_is_the_paired_t_test():
    random = np.random.default_rng(1)
    a, b = random.normal(size=(2, 6))
    found = moderate((a - b)[None])
    assert corrected_p(found, 1) == pytest.approx(stats.ttest_rel(a, b).pvalue)
    low, high = stats.ttest_rel(a, b).confidence_interval()
    assert found.mean - half_widths(found, 1) == pytest.approx(low)
    assert found.mean + half_widths(found, 1) == pytest.approx(high)


def test_the_correction_is_dunnetts():
    """Samples of equal size and many values, for which our correlation is ½ and freedom hardly matters."""
    random = np.random.default_rng(2)
    control, *others = random.normal(size=(6, 400))
    others = [row + 0.12 for row in others]
    theirs = stats.dunnett(*others, control=control, rng=random).pvalue
    means = np.array([row.mean() - control.mean() for row in others])
    error = np.full(
        5, np.sqrt(2 / 400) * np.sqrt(np.mean([np.var(row, ddof=1) for row in [control, *others]]))
    )
    ours = corrected_p(Moderated(means, error, np.full(5, 6 * 399.0), np.array(0.5)), 5)
    assert ours == pytest.approx(theirs, abs=0.01)


def test_an_interval_ends_where_the_corrected_p_is_the_level():
    found = moderate(np.random.default_rng(3).normal(size=(5, 4)) + 1)
    assert corrected_p(found, 5, shift=found.mean - half_widths(found, 5)) == pytest.approx(0.05, abs=1e-6)


def test_a_variance_is_moderated_towards_the_usual_one_and_never_below_its_own():
    random = np.random.default_rng(4)
    rows = random.normal(size=(40, 4))
    own = rows.var(axis=1, ddof=1)
    variance = moderate(rows).error ** 2 * 4
    assert (variance >= own - 1e-12).all()
    assert variance[own < 0.2].mean() > 2 * own[own < 0.2].mean()


def test_missing_runs_are_left_out():
    row = np.array([[0.1, np.nan, 0.3, 0.2], [np.nan, np.nan, 1.0, np.nan]])
    found = moderate(row)
    assert found.mean[0] == pytest.approx(0.2) and found.freedom[0] == 2
    assert np.isnan(found.mean[1]) and np.isnan(corrected_p(found, 2)[1])


def test_the_levels_of_all_looks_add_up():
    for looks in ([3], [3, 4, 5], [2, 7, 10]):
        assert sum(spent(looks)) == pytest.approx(ALPHA)


def test_more_comparisons_and_less_correlation_need_larger_t():
    assert critical(1e6, 0.5, 1, 0.05) == pytest.approx(1.96, abs=0.001)
    assert critical(1e6, 0.0, 16, 0.05) == pytest.approx(stats.norm.isf((1 - 0.95 ** (1 / 16)) / 2), abs=1e-3)
    assert critical(10, 0.5, 16, 0.05) < critical(10, 0.0, 16, 0.05) < critical(4, 0.0, 16, 0.05)


def test_a_single_diverged_run_is_never_enough():
    for runs in range(2, 11):
        assert divergence_p(1, runs, 0, runs) > 0.05
    assert divergence_p(3, 3, 0, 3) == pytest.approx(1 / 64, rel=1e-3)
    assert divergence_p(0, 3, 3, 3) == 1 == divergence_p(2, 4, 1, 2)
