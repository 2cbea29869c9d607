"""The test behind the verdicts, and what a study's rows say."""

import shutil

import numpy as np
import pytest
from scipy import stats

from stylegan2.ablation.statistics import UNDETECTED, holm, judge, levels, residual_variance, summarize
from stylegan2.ablation.study import Run, load_study


def test_the_test_is_analysis_of_variance_written_out():
    random = np.random.default_rng(1)
    table = random.normal(size=(5, 3))
    y = table.flatten()
    columns = [np.ones(15)]
    columns += [np.repeat(np.arange(5) == i, 3) for i in range(1, 5)]
    columns += [np.tile(np.arange(3) == j, 5) for j in range(1, 3)]
    design = np.stack(columns, axis=1).astype(float)
    coefficients, rest, *_ = np.linalg.lstsq(design, y, rcond=None)
    variance, freedom = residual_variance(table)
    assert freedom == 15 - 7 and variance == pytest.approx(rest[0] / freedom)
    logs = {f"v{i}": row for i, row in enumerate(table)}
    found = judge({"v1": "v0"}, logs, set())["v1"]
    error = np.sqrt(variance * np.linalg.inv(design.T @ design)[1, 1])
    assert np.log(found.ratio) == pytest.approx(coefficients[1])
    assert found.p == pytest.approx(2 * stats.t.sf(abs(coefficients[1]) / error, freedom))


def test_holm_multiplies_the_smallest_p_by_the_number_of_tests():
    assert holm([0.04, 0.01, 0.5]) == pytest.approx([0.08, 0.03, 0.5])


def test_without_an_effect_hardly_any_study_finds_one():
    random, found = np.random.default_rng(2), 0
    for _ in range(300):
        logs = {f"v{i}": random.normal(size=3) for i in range(10)}
        verdicts = judge({f"v{i}": "v0" for i in range(1, 10)}, logs, set()).values()
        found += any(c.verdict not in UNDETECTED for c in verdicts)
    assert found / 300 < 0.08


def test_verdicts_follow_size_and_sign_and_divergence():
    wiggle = np.array([0.01, -0.01, 0.005])
    logs = {
        "default": wiggle,
        "twice": wiggle[::-1] + np.log(3),
        "bit": -wiggle + 0.3,
        "less": wiggle[[1, 2, 0]] - 0.3,
        "same": wiggle.copy(),
    }
    controls = dict.fromkeys(["twice", "bit", "less", "same", "gone", "open"], "default")
    found = {name: c.verdict for name, c in judge(controls, logs, {"gone"}).items()}
    assert found == {
        "twice": "needed",
        "bit": "helps",
        "less": "better without",
        "same": "no detectable effect",
        "gone": "needed",
        "open": "not known",
    }


def test_a_noisy_variant_without_a_significant_difference_is_undecided():
    noise = np.random.default_rng(0).normal(size=(3, 3))
    logs = {"default": noise[0], "wild": noise[1] + 0.5, "other": noise[2]}
    found = judge({"wild": "default", "other": "default"}, logs, set())["wild"]
    assert found.p > 0.05 and found.high > 2
    assert found.verdict == "undecided"


def test_an_interval_of_a_level_is_students_t_with_the_pooled_variance():
    values = {"a": [1.0, 2.0, 4.0], "b": [3.0, 3.0, 3.0], "cut": [5.0], "none": []}
    found = levels(values, {name: np.log(values[name]) for name in ("a", "b")})
    pooled = np.var(np.log(values["a"]), ddof=1) / 2  # b has none
    half = stats.t.ppf(0.975, 4) * np.sqrt(pooled / 3)
    assert found["a"].mean == pytest.approx(2) and found["a"].high == pytest.approx(2 * np.exp(half))
    assert found["cut"].mean == pytest.approx(5) and np.isnan(found["cut"].low) and "none" not in found


def test_a_run_that_diverged_makes_its_field_needed_and_comes_first(study):
    summary = summarize(study)
    assert [row.variant.name for row in summary.rows][:2] == ["default", "explosive"]
    assert summary.rows[1].verdict == "needed" and "diverged at 0 kimg (1 of 1)" in summary.rows[1].ended
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
