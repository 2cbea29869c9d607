"""Verdicts follow from intervals, divergences and looks."""

import numpy as np
import pytest

from stylegan2.ablation.statistics.moderation import moderate
from stylegan2.ablation.statistics.verdicts import Outcome, judge

NAN = float("nan")


def outcome(logs, diverged=()):
    logs = np.array(logs, dtype=float)
    return Outcome(logs=logs, diverged=[i in diverged for i in range(len(logs))])


def judged(looks=(4,), margin=1.1, **rows):
    """Comparisons of rows, which are outcomes or logarithms, with the row `default`."""
    outcomes = {name: row if isinstance(row, Outcome) else outcome(row) for name, row in rows.items()}
    return judge({n: "default" for n in rows if n != "default"}, outcomes, looks, margin)


SEEDS = np.array([2.0, -1.0, 0.5, -3.0])
"""What the runs of a seed have in common, which is much more than the effects."""


def small(seed):
    return SEEDS + np.random.default_rng(seed).normal(size=4) * 0.01


def test_verdicts_follow_size_and_sign():
    found = judged(
        default=small(0),
        twice=small(1) + np.log(3),
        bit=small(2) + 0.3,
        less=small(3) - 0.3,
        alike=small(4),
        same=small(0),
        open=[NAN] * 4,
    )
    assert {name: c.verdict for name, c in found.items()} == {
        "twice": "needed",
        "bit": "helps",
        "less": "better without",
        "alike": "equivalent",
        "same": "equivalent",
        "open": "not known",
    }
    assert found["same"].low == found["same"].high == 1 and len(found["bit"].ratios) == 4


def test_an_interval_excludes_one_exactly_where_the_p_value_is_below_the_level():
    random = np.random.default_rng(0)
    for _ in range(50):
        rows = {f"v{i}": random.normal(size=4) + 0.5 * i for i in range(6)}
        for c in judged(default=random.normal(size=4), **rows).values():
            assert (c.low > 1 or c.high < 1) == (c.p < 0.05)
            assert c.low < c.ratio < c.high < np.inf and c.detectable > 1


def test_a_wide_interval_is_undecided_and_a_narrower_one_is_no_detectable_effect():
    def noisy(seed, scale):
        return SEEDS + np.random.default_rng(seed).normal(size=4) * scale

    assert judged(default=noisy(0, 0.5), v=noisy(1, 0.5))["v"].verdict == "undecided"
    assert judged(default=noisy(0, 0.1), v=noisy(1, 0.1))["v"].verdict == "no detectable effect"
    assert judged(default=noisy(0, 0.1), v=noisy(1, 0.1), margin=1.9)["v"].verdict == "equivalent"


def test_one_diverged_run_is_never_needed_and_six_of_six_are():
    fine = small(0)
    once = outcome([NAN, *small(1)[1:]], diverged={0})
    assert judged(default=fine, v=once)["v"].verdict != "needed"
    assert judged(default=fine, v=outcome([NAN] * 4, diverged=range(4)))["v"].verdict == "needed"
    many = {f"v{i}": small(i + 5) for i in range(14)}
    assert judged(default=fine, v=outcome([NAN] * 4, range(4)), **many)["v"].verdict == "undecided"
    six = {f"v{i}": np.random.default_rng(i).normal(size=6) for i in range(15)}
    found = judged((6,), default=np.zeros(6), gone=outcome([NAN] * 6, range(6)), **six)["gone"]
    assert found.verdict == "needed" and found.p < 0.05 and np.isnan(found.low)


def test_divergences_at_five_percent_in_every_run_name_nothing():
    random, named = np.random.default_rng(1), 0
    for _ in range(150):
        lost = random.random((17, 3)) < 0.05
        logs = np.where(lost, np.nan, random.normal(size=(17, 3)))
        rows = {f"v{i}": Outcome(logs=logs[i], diverged=list(lost[i])) for i in range(16)}
        found = judged((3,), default=Outcome(logs=logs[16], diverged=list(lost[16])), **rows)
        named += any(c.verdict in ("needed", "helps", "better without") for c in found.values())
    assert named / 150 < 0.05 + 3 * np.sqrt(0.05 * 0.95 / 150)


def test_divergences_are_tested_with_the_primary_measure_alone():
    fine, gone = small(0), outcome([NAN] * 4, diverged=range(4))
    some = outcome([NAN, *(small(1)[1:] + 2)], diverged={0})
    rows = {"default": outcome(fine), "gone": gone, "some": some}
    controls = dict.fromkeys(("gone", "some"), "default")
    assert judge(controls, rows, (4,))["gone"].verdict == "needed"
    found = judge(controls, rows, (4,), divergences=False)
    assert found["gone"].verdict == "not known" and np.isnan(found["gone"].divergences)
    assert found["some"].verdict == "needed"  # by the values of the runs that finished
    looked = judge(controls, rows, (3, 4), divergences=False)  # a diverged run has ended, too
    assert looked["some"].verdict == "needed"


def test_looks_that_have_not_taken_place_do_not_count():
    random = np.random.default_rng(2)
    rows = {name: random.normal(size=5) for name in ("default", "a", "b")}
    early = {name: np.concatenate([row[:3], [NAN, NAN]]) for name, row in rows.items()}
    looks = (3, 4, 5)
    three = judged(looks, **early)["a"]
    five = judged(looks, **rows)["a"]
    difference = rows["a"] - rows["default"]
    assert three.ratio == pytest.approx(np.exp(difference[:3].mean()))
    assert five.low >= three.low and five.high <= three.high


def test_a_seed_that_only_one_of_a_pair_has_finished_is_left_out():
    ours, theirs = small(1), small(0)
    theirs[3] = NAN
    found = judged(default=theirs, v=ours)["v"]
    assert found.ratio == pytest.approx(np.exp((ours - theirs)[:3].mean())) and len(found.ratios) == 3
    assert moderate((ours - theirs)[None]).freedom[0] == 2
