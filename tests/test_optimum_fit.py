"""The best value, the values that train, and their intervals are those that were planted into simulated studies."""

import math

import numpy as np
import pytest

from stylegan2.coordinates.plan import DEFAULT
from stylegan2.optimum.fit import Interval, Range, jackknife, optimum, overlap, shift, trains
from stylegan2.optimum.plan import Plan
from stylegan2.optimum.summary import moved, row, sentence, summarize

VALUES = tuple(2.0 ** np.linspace(-11, -3, 9))


def curves(best, seeds=3, curvature=0.15, floor=-3.5, noise=0.0, rng=None, spread=0.2):
    """Scores (seeds, values): parabolas in log₂ around a best value, which differs a little between seeds."""
    rng = rng or np.random.default_rng(0)
    x = np.log2(VALUES)
    places = best + (spread * rng.normal(size=(seeds, 1)) if noise else np.zeros((seeds, 1)))
    levels = floor + (0.3 * rng.normal(size=(seeds, 1)) if noise else 0)
    return 2.0 ** (levels + curvature * (x - places) ** 2 + noise * rng.normal(size=(seeds, len(x))))


def test_the_optimum_of_parabolas_is_their_vertex_without_any_uncertainty():
    found = optimum(VALUES, curves(-6.3))
    assert found.estimate == pytest.approx(-6.3, abs=1e-6)
    assert (found.low, found.high) == pytest.approx((-6.3, -6.3), abs=1e-5)


@pytest.mark.parametrize("seeds", [3, 4, 6])
def test_95_percent_of_the_intervals_hold_the_planted_optimum_and_the_planted_shift(seeds):
    """In 300 studies at least 93 % of the intervals, which the seed of the simulation decides."""
    rng = np.random.default_rng(seeds)
    holds, known = [], 0
    for _ in range(300):
        places = rng.uniform(-8.5, -5.5, size=2)
        found = [optimum(VALUES, curves(p, seeds, noise=0.12, rng=rng)) for p in places]
        holds += [each.low <= place <= each.high for each, place in zip(found, places)]
        moved = shift(*found)
        holds.append(moved.low <= places[1] - places[0] <= moved.high)
        known += moved.is_known
    assert np.mean(holds[0::3] + holds[1::3]) >= 0.93
    assert np.mean(holds[2::3]) >= 0.93
    assert known >= 0.6 * 300  # an interval without ends is right, but says nothing


def test_a_bootstrap_of_three_seeds_would_not_hold_what_it_promises():
    """This is why the interval is Fieller's."""
    rng = np.random.default_rng(1)
    holds = []
    for _ in range(40):
        of_seeds = curves(-7.0, noise=0.12, rng=rng)
        drawn = [optimum(VALUES, of_seeds[rng.integers(0, 3, 3)]).estimate for _ in range(60)]
        low, high = np.nanquantile(drawn, [0.025, 0.975])
        holds.append(low <= -7.0 <= high)
    assert np.mean(holds) < 0.9


def test_the_best_value_at_an_end_of_the_sweep_is_no_optimum():
    assert math.isnan(optimum(VALUES, curves(-14)).estimate)
    assert math.isnan(optimum(VALUES, curves(0)).estimate)


def test_a_flat_curve_has_an_interval_without_ends():
    found = optimum(VALUES, curves(-7, curvature=0.0005, noise=0.1, spread=0))
    assert math.isnan(found.estimate) or not found.is_known


def test_diverged_values_beside_the_curve_do_not_change_the_optimum():
    scores = curves(-7)
    scores[0, -2:] = math.inf
    assert optimum(VALUES, scores).estimate == pytest.approx(-7, abs=1e-6)


def test_the_values_that_train_end_where_the_planted_curve_reaches_the_level():
    x = np.log2(VALUES)
    scores = 2.0 ** (-3 + np.abs(x + 7))[None].repeat(2, 0)  # one octave of score per octave of value
    found = trains(VALUES, scores, scores)
    half = math.log2(1.5)
    assert (found.low, found.high) == pytest.approx((-7 - half, -7 + half))
    assert found.octaves == pytest.approx(2 * half) and not found.is_open


def test_a_variant_that_is_never_within_the_factor_of_the_default_trains_nowhere():
    assert trains(VALUES, 2 * curves(-7), curves(-7)).octaves == 0
    assert trains(VALUES, 1.4 * curves(-7), curves(-7)).octaves > 0


def test_a_value_with_which_one_seed_diverges_does_not_train():
    scores = curves(-7, curvature=0.05)
    before = trains(VALUES, scores, scores)
    scores[1, 5:] = math.inf
    after = trains(VALUES, scores, curves(-7, curvature=0.05))
    assert before.high > np.log2(VALUES[5]) and after.high == pytest.approx(np.log2(VALUES[4]))


def test_a_range_that_reaches_the_end_of_the_sweep_is_open():
    found = trains(VALUES, curves(-11, curvature=0.1), curves(-11, curvature=0.1))
    assert found.is_low_open and not found.is_high_open and found.low == pytest.approx(-11)


def test_the_overlap_is_what_all_ranges_share():
    assert overlap([Range(-8, -4), Range(-6, -2), Range(-7, -3)]).octaves == pytest.approx(2)
    assert overlap([Range(-8, -6), Range(-5, -2)]).octaves == 0
    assert not overlap([Range(-8, -4, True), Range(-8, -2)]).is_open
    assert overlap([Range(-8, -4, True), Range(-8, -2, True)]).is_open


def test_the_jackknife_of_a_mean_is_students_interval():
    numbers = np.array([1.0, 2.0, 4.0, 4.5])
    found = jackknife(lambda seeds: float(numbers[seeds].mean()), 4)
    half = 3.182 * numbers.std(ddof=1) / 2
    assert (found.estimate, found.high - found.estimate) == pytest.approx((2.875, half), rel=1e-3)


def test_the_interval_of_an_overlap_holds_the_planted_one():
    """In 200 studies of four seeds at least 90 %. The straight lines between values take a little from the length."""
    rng, half, holds = np.random.default_rng(6), math.sqrt(math.log2(1.5) / 0.15), []
    for _ in range(200):
        one, two = rng.uniform(-7.5, -6.5, size=2)
        a, b = (curves(place, 4, noise=0.05, rng=rng) for place in (one, two))
        found = jackknife(
            lambda i, a=a, b=b: overlap([trains(VALUES, each[i], each[i]) for each in (a, b)]).octaves, 4
        )
        holds.append(found.low <= 2 * half - abs(one - two) <= found.high)
    assert np.mean(holds) >= 0.9


def planted(**options):
    """A study in which the default's optimum stays and that of the other variant moves by four octaves."""
    rng = np.random.default_rng(0)
    plan = Plan(values=VALUES, variants=(DEFAULT, "weight_scaling=kaiming"), seeds=4, **options)
    places = {(DEFAULT, 16): -7, (DEFAULT, 64): -7, (plan.variants[1], 16): -5, (plan.variants[1], 64): -9}
    scores = {key: curves(place, 4, 0.25, noise=0.05, rng=rng, spread=0.1) for key, place in places.items()}
    for key in places:
        scores[key] *= 2**-3.5 / scores[key].min(axis=1, keepdims=True)
    return plan, scores


def test_the_sentence_says_where_ranges_overlap_and_which_sizes_separate():
    plan, scores = planted()
    default, without = summarize(plan, scores)
    assert default.overlap.estimate == pytest.approx(2 * math.sqrt(math.log2(1.5) / 0.25), abs=0.3)
    assert without.overlap.estimate == 0 and without.fewer.low > 0
    text = sentence(plan, default, without)
    assert (
        "with weight_scaling as by default, the ranges of learning_rate that train at 16² and at 64²" in text
    )
    assert "without it, over 0.0 octaves" in text
    assert "the two sizes do not separate" in moved(plan, default)
    assert "do not separate" not in moved(plan, without) and "-4." in moved(plan, without) or "-3.9" in text


def test_a_row_names_open_ends_and_what_diverged():
    plan, scores = planted()
    scores["weight_scaling=kaiming", 64][:] = math.inf
    cells = row(plan, summarize(plan, scores)[1].curves[1])
    assert cells[1:] == ["64²", "diverged", "at an end of the sweep", "none", "0.0", "36"]


def test_an_optimum_outside_is_said_to_be_outside():
    plan, scores = planted()
    scores[DEFAULT, 64] = curves(-14, 4)
    assert moved(plan, summarize(plan, scores)[0]) == "no optimum lies inside the values tried at 64²."


def test_an_interval_that_is_not_known_separates_nothing():
    assert not shift(Interval(-7), Interval(-5, -5.1, -4.9)).is_known
