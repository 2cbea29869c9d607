"""A row of numbers for each variant of a study."""

import shutil

import numpy as np
import pytest
from scipy import stats

from stylegan2.ablation.plan.study import Result, Run, Signal, Study, load_study
from stylegan2.ablation.plan.variants import DEFAULT, Variant
from stylegan2.ablation.statistics.summary import levels, summarize
from stylegan2.ablation.statistics.verdicts import Outcome


def test_an_interval_of_a_level_is_students_t():
    logs = {
        "a": np.log([1.0, 2.0, 4.0]),
        "cut": np.array([np.log(5), np.nan, np.nan]),
        "none": np.full(3, np.nan),
    }
    found = levels({name: Outcome(logs=row, diverged=[False] * 3) for name, row in logs.items()})
    half = stats.t.ppf(0.975, 2) * np.std(logs["a"], ddof=1) / np.sqrt(3)
    assert found["a"].mean == pytest.approx(2) and found["a"].high == pytest.approx(2 * np.exp(half))
    assert found["cut"].mean == pytest.approx(5) and np.isnan(found["cut"].low) and "none" not in found


def test_a_single_diverged_run_is_reported_first_and_decides_nothing(study):
    summary = summarize(study)
    assert [row.variant.name for row in summary.rows][:2] == ["default", "explosive"]
    assert summary.rows[1].verdict == "undecided" and "diverged at 0 kimg (1 of 1)" in summary.rows[1].ended
    assert all(row.r1 > 0 and row.seconds > 0 for row in summary.rows if not row.ended)


def test_a_rows_penalty_is_the_last_one_however_long_ago(study, tmp_path):
    changed = load_study(shutil.copytree(study.out, tmp_path / "study"))
    path = changed.folder(Run(variant="default", seed=0)) / "metrics.csv"
    columns = ["kimg", "kimg_per_second", "r1", "path_length_mean"]
    path.write_text(
        "\n".join([",".join(columns), "0.01,1,7,1", "0.02,1,5,2", "0.03,1,,3"]) + "\n", encoding="utf-8"
    )
    default = summarize(changed).default
    assert (default.r1, default.path_length) == (5, 3)
    assert default.seconds == pytest.approx(0.03)


def test_the_signal_of_the_default_is_that_of_the_seeds_which_the_variants_have(tmp_path):
    """Other seeds have other weights. In a mean over them, a variant that changes nothing would seem to change it."""
    variants = [Variant(name=DEFAULT), Variant(name="same", key="model.x", overlay={}, control=DEFAULT)]
    made = Study(out=tmp_path, variants=variants, seeds=2, control_seeds=5, kimg=1, images=2)
    made.save("model: {x: 0}\n")
    for run in made.runs:
        signal = Signal(
            discriminator={"b4": 2.0**run.seed}, generator={"image": 3.0**run.seed}, logits_std=1.0 + run.seed
        )
        made.save_result(run, Result(status="finished", kimg=1, curve=[(1.0, 2.0)], signal=signal))
    default, same = summarize(made).rows
    assert default.signal == same.signal and same.signal.discriminator["b4"] == pytest.approx(2**0.5)
