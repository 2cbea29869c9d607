"""A study on disk: what its runs are told, when it is refused, how long its runs may be."""

import json
from dataclasses import replace

import pytest
import yaml

from stylegan2.ablation.plan.study import (
    Result,
    Run,
    Signal,
    Study,
    load_study,
    longest_runs,
    parse_duration,
    training_seconds,
)
from stylegan2.ablation.plan.variants import Variant, ablations
from stylegan2.errors import InputError

DEFAULT = Run(variant="default", seed=0)


@pytest.fixture
def plan(tmp_path):
    made = Study(out=tmp_path, variants=ablations("noise"), seeds=2, kimg=1, images=8)
    made.save("model: {loss: logistic}\n")
    return made


def test_a_study_comes_back_from_its_folder(plan):
    assert load_study(plan.out) == plan
    signal = Signal(discriminator={"b8": 1.0}, generator={"image": 0.5}, logits_std=0.1)
    plan.save_result(DEFAULT, Result(status="finished", kimg=1, signal=signal))
    assert plan.result(DEFAULT).signal == signal and plan.result(Run(variant="noise", seed=0)) is None


def test_a_study_of_version_0_1_can_still_be_reported(plan):
    state = json.loads((plan.out / "study.json").read_text(encoding="utf-8"))
    del state["metric"]
    (plan.out / "study.json").write_text(json.dumps(state), encoding="utf-8")
    plan.result_file(DEFAULT).parent.mkdir()
    plan.result_file(DEFAULT).write_text(
        '{"status": "finished", "kimg": 1, "why": "", "curve": [[1.0, 300.0]]}', encoding="utf-8"
    )
    old = load_study(plan.out)
    assert old == plan and old.result(DEFAULT).curve == [[1.0, 300.0]]


def test_runs_come_seed_by_seed(plan):
    assert [run.name for run in plan.runs] == ["default-seed0", "noise-seed0", "default-seed1", "noise-seed1"]


def test_a_failed_run_is_not_done_and_a_diverged_one_is(plan):
    for status, done in (("failed", False), ("diverged", True), ("finished", True)):
        plan.save_result(DEFAULT, Result(status=status, kimg=0.5))
        assert plan.is_done(DEFAULT) is done


def test_variants_and_seeds_may_be_added_and_another_base_is_refused(plan):
    base = plan.base.read_text(encoding="utf-8")
    replace(plan, variants=ablations("noise,ema"), seeds=3).save(base)
    with pytest.raises(InputError, match=r"(?s)kimg: 1 in the folder, 2 requested.*another --out"):
        replace(plan, kimg=2).save(base)
    with pytest.raises(InputError, match="model.loss: logistic in the folder, hinge requested"):
        plan.save(base.replace("logistic", "hinge"))
    with pytest.raises(InputError, match="metric: random_frechet in the folder, random_kernel requested"):
        replace(plan, metric="random_kernel").save(base)


def test_an_overlay_that_is_no_configuration_is_named(tmp_path):
    wrong = Variant(name="wrong", key="model.los", overlay={"model": {"los": "hinge"}}, control="default")
    made = Study(out=tmp_path, variants=[wrong], seeds=1, kimg=1, images=8)
    made.save(yaml.safe_dump({"kimg": 1}))
    with pytest.raises(InputError, match=r"wrong .*los"):
        made.check()


def test_time_of_training_leaves_evaluations_and_interruptions_out():
    rows = [
        {"kimg": 1.0, "kimg_per_second": 0.5},  # 2 s
        {"kimg": 1.0, "metric_x": 3.0, "evaluation_seconds": 7.0},
        {"kimg": 2.0, "kimg_per_second": 0.1},  # 10 s, 7 of them for the evaluation before
        {"kimg": 2.0, "metric_x": 2.0, "evaluation_seconds": 5.0},
    ]
    assert training_seconds(rows) == pytest.approx(2 + 10 - 7)


def test_a_budget_gives_the_longest_runs_that_fit():
    kimg = longest_runs(7200, rounds=24, batch=32, seconds_per_kimg=8, overhead=20)
    assert kimg * 1000 % 32 == 0
    assert 24 * (20 + 8 * kimg) <= 7200 < 24 * (20 + 8 * (kimg + 0.032))
    with pytest.raises(InputError, match="Give 19 minutes or more"):
        longest_runs(600, rounds=48, batch=32, seconds_per_kimg=8, overhead=20)


def test_durations_are_read_as_people_write_them():
    assert [parse_duration(text) for text in ("90", "90s", "30m", "1h30m", "1.5h")] == [
        90,
        90,
        1800,
        5400,
        5400,
    ]
    for text in ("soon", "", "0", "1.2.3h"):
        with pytest.raises(InputError, match="such as 90s"):
            parse_duration(text)
