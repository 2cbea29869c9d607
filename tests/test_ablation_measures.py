"""What a study measures: its curves as numbers, the primary measure, and the family of secondary ones."""

import math
from dataclasses import replace

import numpy as np
import pytest
import yaml

from stylegan2.ablation.plan.measures import HELD_OUT, QUALITY, Measure, measures_of, options_at_the_end
from stylegan2.ablation.plan.options import AblationOptions
from stylegan2.ablation.plan.study import Result, Run, Study, load_study
from stylegan2.ablation.plan.variants import DEFAULT, Variant
from stylegan2.ablation.statistics.moderation import corrected_p, moderate
from stylegan2.ablation.statistics.summary import summarize
from stylegan2.errors import InputError

CURVE = [(1.0, 8.0), (2.0, 4.0), (4.0, 2.0)]


def measure(reading, least=0.0):
    return Measure(name="x", about="", curve=QUALITY, reading=reading, least=least)


def test_the_mean_is_the_area_under_the_logarithm_over_kimg():
    expected = (1 * math.log(8) + 1 * math.log(4) + 2 * math.log(2)) / 4
    assert measure("mean").log(CURVE) == pytest.approx(expected)
    assert measure("last").log(CURVE) == pytest.approx(math.log(2))
    assert measure("mean").log(CURVE[:1]) == measure("last").log(CURVE[:1]) == pytest.approx(math.log(8))


def test_a_value_without_a_logarithm_is_a_missing_run_unless_the_measure_has_a_least_value():
    for reading in ("mean", "last"):
        assert math.isnan(measure(reading).log([]))
        for bad in (0.0, math.inf, math.nan):
            assert math.isnan(measure(reading).log([*CURVE, (5.0, bad)]))
    assert measure("last", least=0.01).log([(1.0, 0.0)]) == pytest.approx(math.log(0.01))


def make(out, seeds=4, **options):
    variants = [Variant(name=DEFAULT)]
    variants += [
        Variant(name=n, key="model.x", overlay={"model": {"x": n}}, control=DEFAULT) for n in ("a", "b")
    ]
    made = Study(out=out, variants=variants, seeds=seeds, kimg=4, images=2, **options)
    made.save(yaml.safe_dump({"model": {"x": 0}, "data": {"holdout": "5%"}}))
    return made


def test_the_primary_measure_is_first_and_the_others_depend_on_the_plan(tmp_path):
    base = {"data": {"holdout": 0}}
    names = [m.name for m in measures_of(make(tmp_path), base)]
    assert names == ["distance at the end", "distance over training"]
    new = replace(make(tmp_path), primary="mean", features="random", final_images=50)
    names = [m.name for m in measures_of(new, {"data": {"holdout": "5%"}})]
    assert names == [
        "distance over training",
        "distance at the end",
        "diversity",
        "feature distance",
        "density",
        "coverage",
        HELD_OUT,
    ]
    assert options_at_the_end(new).names == ["diversity", "fid", "density", "coverage"]
    assert "features of random" in measures_of(new, base)[3].about


def test_another_primary_measure_cannot_be_chosen_after_the_data(tmp_path):
    made = make(tmp_path, primary="mean")
    base = made.base.read_text(encoding="utf-8")
    with pytest.raises(InputError, match="primary: mean in the folder, last requested"):
        replace(made, primary="last").save(base)


def test_the_default_has_further_seeds_which_come_after_those_of_all(tmp_path):
    made = make(tmp_path, seeds=2, control_seeds=4)
    assert [run.name for run in made.runs][-3:] == ["b-seed1", "default-seed2", "default-seed3"]
    assert len(made.runs) == 8 and made.seeds_of("a") == 2
    assert load_study(tmp_path) == made


@pytest.fixture
def ended(tmp_path):
    """A study of which a changes nothing and b halves the diversity at all seeds."""
    made = make(tmp_path, control_seeds=6, primary="mean", final_images=10)
    random = np.random.default_rng(0)
    for run in made.runs:
        noise = np.exp(0.02 * random.normal(size=4))
        curve = [(kimg, 100 / kimg * noise[0]) for kimg in (1.0, 2.0, 3.0, 4.0)]
        others = {"diversity": [(4.0, (0.3 if run.variant == "b" else 0.6) * noise[1])]}
        others[HELD_OUT] = [(2.0, noise[2]), (4.0, noise[3])]
        made.save_result(run, Result(status="finished", kimg=4, curve=curve, others=others))
    return made


def test_each_variant_has_a_verdict_for_each_measure(ended):
    rows = {row.variant.name: row for row in summarize(ended).rows}
    assert set(rows["b"].secondary) == {"distance at the end", "diversity", HELD_OUT}
    assert rows["b"].secondary["diversity"].verdict == "better without"  # significantly smaller
    assert rows["b"].secondary["diversity"].ratio == pytest.approx(0.5, rel=0.05)
    assert rows["a"].secondary["diversity"].verdict == "equivalent" == rows["b"].verdict
    assert rows[DEFAULT].secondary == {} and len(rows[DEFAULT].level.values) == 6


def test_values_of_zero_in_all_runs_are_no_equivalence(ended):
    for run in ended.runs:
        result = ended.result(run)
        coverage = 0.4 if run.variant == DEFAULT else 0.0
        others = result.others | {"coverage": [(4.0, coverage)], "density": [(4.0, 0.0)]}
        ended.save_result(run, replace(result, others=others))
    found = summarize(replace(ended, features="random"))
    row = {row.variant.name: row for row in found.rows}["a"]
    assert row.secondary["density"].verdict == "not known"
    assert row.secondary["coverage"].verdict == "better without"  # 0 counts as half an image of 10
    assert row.secondary["coverage"].ratio == pytest.approx(0.05 / 0.4)


def test_secondary_measures_share_one_correction_and_cost_the_primary_one_nothing(ended):
    rows = {row.variant.name: row for row in summarize(ended).rows}
    distance, other = rows["a"].comparison, rows["a"].secondary["distance at the end"]
    assert other.ratio == pytest.approx(distance.ratio)  # the curves of this study are parallel
    assert math.log(other.high / other.low) > 1.1 * math.log(distance.high / distance.low)
    alone = replace(ended, final_images=0)
    assert {row.variant.name: row for row in summarize(alone).rows}["a"].comparison == distance


def test_without_any_effect_one_study_in_twenty_names_a_secondary_measure():
    """Studies of 5 variants and 4 measures, all of whose 20 comparisons are corrected together."""
    runs = np.random.default_rng(1).normal(size=(3000, 4, 6, 4))  # studies, measures, variants, seeds
    found = moderate(runs[..., 1:, :] - runs[..., :1, :])
    named = (corrected_p(found, 20) < 0.05).any(axis=(1, 2)).mean()
    assert 0.01 < named <= 0.055


def test_features_are_those_that_are_installed(monkeypatch):
    for found, expected in ((None, None), (object(), "efficientnet_lite0")):
        monkeypatch.setattr("importlib.util.find_spec", lambda name, found=found: found)
        assert AblationOptions().chosen_features == expected
    assert AblationOptions(features="none").chosen_features is None
    assert AblationOptions(features="random").chosen_features == "random"


@pytest.mark.parametrize(
    "options,words",
    [
        ({"features": "inceptoin"}, "Did you mean inception"),
        ({"final_images": 3}, "--final_images of 0, or of 6 or more"),
        ({"seeds": 5, "control_seeds": 4}, "--control_seeds of 5"),
    ],
)
def test_what_cannot_be_measured_is_refused(options, words):
    with pytest.raises(InputError, match=words):
        AblationOptions(**options)


def test_a_run_stores_the_curves_of_its_measures(tmp_path):
    made = make(tmp_path)
    result = Result(status="finished", kimg=4, curve=CURVE, others={"diversity": [(4.0, 0.5)]})
    made.save_result(Run(variant="a", seed=0), result)
    again = made.result(Run(variant="a", seed=0))
    assert again.values("diversity") == [[4.0, 0.5]] and again.values("density") == []
    assert again.values(QUALITY) == [[1.0, 8.0], [2.0, 4.0], [4.0, 2.0]]
