"""A control with more seeds than the variants: its errors, coverage and gain in simulated studies."""

import numpy as np
import pytest

from stylegan2.ablation.statistics.controls import compare, dunnett_seeds, variances
from stylegan2.ablation.statistics.moderation import corrected_p, half_widths, moderate, spent
from stylegan2.ablation.statistics.verdicts import Outcome, judge

STUDIES = 3000


def draw(scale, seeds, shared, control=1.0, studies=STUDIES, seed=0):
    """(variants, control, further runs of the control) without any effect, with what runs of a seed share."""
    random, scale = np.random.default_rng(seed), np.array(scale)
    extra = dunnett_seeds(seeds, len(scale)) - seeds
    common = shared * random.normal(size=(studies, seeds))
    ours = common[:, None] + scale[:, None] * random.normal(size=(studies, len(scale), seeds))
    theirs = common + control * random.normal(size=common.shape)
    further = np.hypot(shared, control) * random.normal(size=(studies, extra))
    return ours, theirs, further


def compared(ours, theirs, further):
    every = np.broadcast_to(theirs[..., None, :], ours.shape)
    return compare(ours, every, theirs, further, np.ones(ours.shape[-2], dtype=bool))


ALIKE, ONE_NOISY = [1.0] * 16, [5.0] + [1.0] * 15


@pytest.mark.parametrize("shared,control", [(0, 1), (1, 5), (3, 1)])
@pytest.mark.parametrize("looks", [[3], [3, 6, 10]], ids=str)
@pytest.mark.parametrize(
    "scale", [ALIKE, ONE_NOISY, [5.0, *[1.0] * 4]], ids=["16 alike", "1 noisy", "1 of 5"]
)
def test_a_study_without_effects_names_one_in_five_percent_and_every_interval_covers(
    scale, looks, shared, control
):
    ours, theirs, further = draw(scale, looks[-1], shared, control)
    missed = np.zeros(ours.shape[:2], dtype=bool)
    for n, level in zip(looks, spent(looks)):
        found = compared(ours[..., :n], theirs[..., :n], further)
        missed |= corrected_p(found, len(scale)) < level
    assert missed.any(axis=1).mean() <= 0.055
    assert (1 - missed.mean(axis=0)).min() >= 0.93


def test_further_runs_narrow_the_intervals_where_seeds_share_little_and_cost_little_elsewhere():
    def width(found):
        return np.mean([half_widths(each(found, i), 16) for i in range(60)])

    def each(found, i):
        return type(found)(found.mean[i], found.error[i], found.freedom[i], found.correlation[i])

    for shared, low, high in ((0, 0.0, 0.85), (3, 0.9, 1.08)):
        ours, theirs, further = draw(ALIKE, 4, shared, studies=60)
        ratio = width(compared(ours, theirs, further)) / width(moderate(ours - theirs[:, None]))
        assert low < ratio < high


def test_without_further_runs_it_is_the_paired_comparison():
    ours, theirs, _ = draw(ALIKE, 4, 1, studies=2)
    for further in (np.empty((2, 0)), np.full((2, 3), np.nan)):
        found, paired = compared(ours, theirs, further), moderate(ours - theirs[:, None])
        for name in ("mean", "error", "freedom", "correlation"):
            np.testing.assert_array_equal(getattr(found, name), getattr(paired, name))


def test_variants_of_another_control_are_compared_in_pairs_alone():
    ours, theirs, further = draw(ALIKE, 4, 0, studies=1)
    controls = np.broadcast_to(theirs[:, None], ours.shape).copy()
    controls[:, -1] += 0.3
    found = compare(ours, controls, theirs, further, np.arange(16) < 15)
    paired = moderate(ours - controls)
    assert (
        found.mean[0, -1] == pytest.approx(paired.mean[0, -1]) and found.freedom[0, 0] > paired.freedom[0, 0]
    )
    assert (found.mean[0, :-1] != paired.mean[0, :-1]).all()


def test_where_seeds_share_nothing_it_compares_with_the_mean_of_all_runs_of_the_control():
    random = np.random.default_rng(5)
    ours, theirs, further = (
        random.normal(size=(1, 16, 40)),
        random.normal(size=(1, 40)),
        random.normal(size=(1, 120)),
    )
    found = compared(ours, theirs, further)
    expected = ours.mean(axis=-1) - np.concatenate([theirs, further], axis=-1).mean()
    assert found.mean == pytest.approx(expected, abs=0.03)
    welch = np.sqrt(1 / 40 + 1 / 160)  # the standard error of the difference, whose variances are 1
    assert found.error[0].mean() == pytest.approx(welch, rel=0.1)


def test_the_variance_that_seeds_share_is_found():
    random = np.random.default_rng(6)
    seeds = 2 * random.normal(size=4000)
    runs = seeds + 0.5 * random.normal(size=(6, 4000))
    shared, own = variances(runs)
    assert shared == pytest.approx(4, rel=0.1) and own == pytest.approx(0.25 * 5 / 6, rel=0.1)


def test_missing_runs_are_left_out():
    ours, theirs, further = draw(ALIKE, 5, 1, studies=1)
    theirs[0, 4] = ours[..., 4] = further[0, 0] = np.nan
    found = compared(ours, theirs, further)
    fewer = compared(ours[..., :4], theirs[..., :4], further[:, 1:])
    assert found.mean == pytest.approx(fewer.mean)
    ours[0, 0, 1] = np.nan
    assert np.isfinite(compared(ours, theirs, further).mean).all()


@pytest.mark.filterwarnings("error")
def test_a_study_that_has_just_started_has_no_comparison_yet():
    nothing = np.full((3, 4), np.nan)
    for further in (np.array([0.3]), np.array([0.3, 0.1, 0.2])):
        found = compare(nothing, nothing, nothing[0], further, np.ones(3, dtype=bool))
        assert np.isnan(found.mean).all() and np.isnan(found.error).all()
        one = np.where(np.arange(4) == 0, 1.0, nothing)
        assert np.isnan(compare(one, one, one[0], further, np.ones(3, dtype=bool)).mean).all()


def test_dunnetts_rule_is_the_root_of_the_number_of_comparisons():
    assert [dunnett_seeds(3, k) for k in (0, 1, 2, 4, 15, 16)] == [3, 3, 5, 6, 12, 12]


def test_the_control_of_a_study_may_have_more_seeds():
    random = np.random.default_rng(7)
    rows = {f"v{i}": random.normal(size=3) for i in range(15)}
    outcomes = {name: Outcome(logs=row, diverged=[False] * 3) for name, row in rows.items()}
    theirs = Outcome(logs=random.normal(size=12), diverged=[False] * 12)
    controls = dict.fromkeys(rows, "default")
    few = judge(controls, {**outcomes, "default": Outcome(logs=theirs.logs[:3], diverged=[False] * 3)}, [3])
    many = judge(controls, {**outcomes, "default": theirs}, [3])
    assert np.mean([c.detectable for c in many.values()]) < np.mean([c.detectable for c in few.values()])
    assert len(many["v0"].ratios) == 3
    gone = {**outcomes, "default": theirs, "v0": Outcome(logs=np.full(3, np.nan), diverged=[True] * 3)}
    assert judge(controls, gone, [3])["v0"].verdict == "needed"  # 3 of 3 against 0 of 12
    early = judge(
        controls,
        {**outcomes, "default": Outcome(logs=np.r_[theirs.logs[:11], np.nan], diverged=[False] * 12)},
        [2, 3],
    )
    assert all(
        c.verdict == "not known" for c in early.values()
    )  # a look takes place when all its runs have ended
