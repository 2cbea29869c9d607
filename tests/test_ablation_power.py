"""What a study can see: the prediction agrees with simulated studies, and the command says it."""

import re
from dataclasses import replace

import numpy as np
import pytest

from stylegan2.ablation.looks import detection, expectation, run_looks, undecided
from stylegan2.ablation.plan.study import Result, Run, Study
from stylegan2.ablation.plan.variants import DEFAULT, Variant, ablations
from stylegan2.ablation.statistics import power
from stylegan2.ablation.statistics.controls import compare
from stylegan2.ablation.statistics.moderation import corrected_p
from stylegan2.ablation.statistics.summary import summarize
from stylegan2.errors import InputError


def pilot(noise=0.5, comparisons=16, seconds=60.0, shared=0.0):
    return power.Pilot(comparisons=comparisons, noise=noise, correlation=0.5, shared=shared, seconds=seconds)


@pytest.mark.parametrize("shared", [0.0, 0.5, 0.9])
@pytest.mark.parametrize("seeds,control", [(4, 4), (4, 16), (8, 32)])
def test_the_smallest_effect_is_found_in_four_of_five_studies(seeds, control, shared):
    noise = 0.5
    effect = np.log(power.smallest_effect(seeds, pilot(noise, shared=shared), control=control))
    random, own = np.random.default_rng(0), noise / np.sqrt(2)
    between = own * np.sqrt(shared / (1 - shared)) * random.normal(size=(2000, 1, control))
    runs = own * random.normal(size=(2000, 17, control)) + between
    theirs, ours = runs[:, 0], runs[:, 1:, :seeds].copy()
    ours[:, 0] += effect
    paired = np.broadcast_to(theirs[:, None, :seeds], ours.shape)
    found = compare(ours, paired, theirs[:, :seeds], theirs[:, seeds:], np.ones(16, dtype=bool))
    # The moderated variance is never taken for smaller than measured, which costs some power.
    assert 0.6 < (corrected_p(found, 16)[:, 0] < 0.05).mean() < 0.88


def test_further_seeds_of_the_control_help_unless_runs_of_a_seed_share_all():
    few, many = (power.smallest_effect(4, pilot(), control=control) for control in (4, 16))
    assert many < few
    assert power.smallest_effect(4, pilot(shared=1.0), control=16) == pytest.approx(few)
    assert power.smallest_effect(4, pilot()) == many  # Dunnett's rule is the default


def test_more_seeds_see_smaller_effects_and_less_noise_needs_fewer():
    effects = [power.smallest_effect(n, pilot()) for n in (1, 2, 3, 6, 12, 50)]
    assert effects[0] == np.inf and sorted(effects, reverse=True) == effects
    seeds = power.seeds_needed(1.3, pilot())
    assert power.smallest_effect(seeds, pilot()) <= 1.3 < power.smallest_effect(seeds - 1, pilot())
    assert power.seeds_needed(1.3, pilot(noise=0.1)) < seeds
    with pytest.raises(InputError, match="more than 1000 seeds"):
        power.seeds_needed(1.001, pilot())


def study(out, distances, seeds, planned=None, until="all", control_seeds=None):
    """A study with results: `distances` by variant, as functions of the seed, and None for a diverged run."""
    variants = [Variant(name=DEFAULT)]
    variants += [
        Variant(name=n, key="model.x", overlay={"model": {"x": n}}, control=DEFAULT)
        for n in distances
        if n != DEFAULT
    ]
    made = Study(
        out=out,
        variants=variants,
        seeds=planned or seeds,
        control_seeds=control_seeds,
        kimg=1,
        images=2,
        until=until,
    )
    made.save("model: {x: 0}\n")
    for run in made.runs:
        if run.seed < seeds:
            finish(made, run, distances)
    return made


def finish(made, run, distances):
    value = distances[run.variant](run.seed)
    status = "finished" if value else "diverged"
    made.save_result(run, Result(status=status, kimg=1, curve=[(1.0, value)] if value else []))


NOISE = np.random.default_rng(0).normal(size=(3, 12))
DISTANCES = {
    DEFAULT: lambda seed: float(np.exp(0.02 * NOISE[0, seed])),
    "bad": lambda seed: float(3 * np.exp(0.02 * NOISE[1, seed])),
    "open": lambda seed: float(np.exp(0.8 * NOISE[2, seed])),
}


def test_a_pilot_says_seeds_and_hours(tmp_path):
    text = detection(study(tmp_path, DISTANCES, seeds=3), 1.3, 0.8, parallel=2)
    assert "An effect of ×1.3 is found with a probability of 0.8 with" in text
    assert "hours with 2 in parallel" in text and "smallest effect" in text
    assert "Planned: 2 comparisons" in text


def test_a_pilot_of_few_variants_plans_a_study_of_many(tmp_path):
    pilot = study(tmp_path, DISTANCES, seeds=3)
    many = ablations("all")
    few, more = (detection(pilot, 1.3, 0.8, 2, planned) for planned in ((), many))
    assert f"Planned: {len(many) - 2} comparisons" in more  # without the default and the clamp's control

    def runs(text):
        return int(re.search(r"default: (\d+) runs", text).group(1))

    assert runs(more) > 5 * runs(few)


def test_a_pilot_of_one_seed_is_refused(tmp_path):
    with pytest.raises(InputError, match="two finished seeds or more"):
        detection(study(tmp_path, DISTANCES, seeds=1), 1.3, 0.8, parallel=1)


def test_a_planned_study_says_what_it_can_see(tmp_path):
    assert "with 3 seeds" in expectation(study(tmp_path, DISTANCES, seeds=3)).lower()


def test_a_study_until_decided_runs_only_what_is_undecided(tmp_path, monkeypatch):
    made = study(tmp_path, DISTANCES, seeds=0, planned=10, until="decided")
    assert made.looks == [3, 4, 5, 6, 7, 8, 9, 10]
    ran = []

    def run_all(study, start, parallel, runs):
        for run in runs:
            if not study.is_done(run):
                finish(study, run, DISTANCES)
                ran.append(run)

    monkeypatch.setattr("stylegan2.ablation.looks.run_all", run_all)
    assert run_looks(made, None, 1) is None
    count = {name: sum(run.variant == name for run in ran) for name in DISTANCES}
    assert 3 <= count["bad"] < 10 == count["open"] == count[DEFAULT]
    assert undecided(made) == {DEFAULT, "open"}
    rows = {row.variant.name: row for row in summarize(made).rows}
    assert rows["bad"].verdict == "needed"
    assert rows["bad"].ended == f"decided after {count['bad']} of 10 seeds"


def test_further_seeds_of_the_control_run_before_the_first_look(tmp_path, monkeypatch):
    made = study(tmp_path, DISTANCES, seeds=0, planned=5, until="decided", control_seeds=7)
    looks = []

    def run_all(study, start, parallel, runs):
        looks.append({run.seed for run in runs if run.variant == DEFAULT})
        for run in runs:
            finish(study, run, DISTANCES)

    monkeypatch.setattr("stylegan2.ablation.looks.run_all", run_all)
    assert run_looks(made, None, 1) is None
    assert looks == [{0, 1, 2, 5, 6}, {0, 1, 2, 3, 5, 6}, set(range(7))]
    assert {row.variant.name: row for row in summarize(made).rows}["bad"].verdict == "needed"
    with pytest.raises(InputError, match="control_seeds: 7 in the folder, 8 requested"):
        replace(made, control_seeds=8).save("model: {x: 0}\n")


def test_a_fixed_study_has_one_look(tmp_path):
    made = study(tmp_path, DISTANCES, seeds=3)
    assert made.looks == [3]
    assert undecided(made) == set(DISTANCES)
    assert made.result(Run(variant="bad", seed=0)).status == "finished"
