"""`stylegan2 ablate`: what it refuses, what it keeps, and that it goes by a measured speed."""

import shutil

import pytest

from stylegan2.ablation.plan.study import load_study
from stylegan2.cli import exit_status
from stylegan2.errors import InputError
from stylegan2.tools.ablate import ablate_command


def test_the_same_command_again_runs_nothing(study, study_arguments, capsys):
    before = {path: path.stat().st_mtime_ns for path in (study.out / "results").iterdir()}
    assert ablate_command(study_arguments) == 0
    assert "3 done" in capsys.readouterr().out
    assert before == {path: path.stat().st_mtime_ns for path in (study.out / "results").iterdir()}


def test_another_length_in_the_same_folder_is_refused(study, study_arguments):
    with pytest.raises(InputError, match=r"(?s)kimg: 0.064 in the folder, 0.08.*another --out"):
        ablate_command([*study_arguments, "--kimg", "0.08"])


@pytest.mark.parametrize(
    "args,words",
    [
        (["--fields", "nois"], "nois"),
        (["--fields", "noise", "--field", "clamp", "--values", "1,2"], "--fields, or both"),
        (["--field", "residual_gain"], "--values"),
        (["--field", "residual_gain", "--values", "a,b"], "a,b"),
        (["--field", "residual_gian", "--values", "1,2"], "residual_gian"),
        (["--field", "weight_scaling", "--values", "1,2"], "weight_scaling"),
        (["--fields", "noise", "--seeds", "0"], "--seeds"),
        (["--fields", "noise", "--kimg", "-1"], "kimg above 0"),
        (["--fields", "noise", "--metric", "random_frechett"], "Did you mean random_frechet?"),
        (["--fields", "noise", "--metric", "fid"], "a metric on images, such as random_frechet"),
        (["--fields", "noise", "--metric", "diversity"], "lower for better images"),
        (["--fields", "noise", "--features", "inceptio"], "Did you mean inception?"),
        (["--fields", "noise", "--final_images", "2"], "--final_images"),
        (["--fields", "noise", "--control_seeds", "2"], "--control_seeds"),
        (["--fields", "noise", "--model.generator.channel_base", "4"], "channel_base must leave"),
        (["--fields", "noise", "--budget", "soon"], "soon"),
        (["--fields", "noise", "--margin", "0.9"], "--margin"),
        (["--detect", "1"], "--detect"),
        (["--detect", "1.3", "--power", "80"], "--power"),
        (["--detect", "1.3"], "study.json"),
        (["--fields", "noise", "--data.path", "nowhere"], "nowhere"),
        (["--fields", "ema", "--model.ema", "null"], "Nothing is left"),
        (["--report_only", "true"], "study.json"),
        (["--fields", "noise", "--engine", "slurm"], "slurm"),
    ],
    ids=lambda value: "-".join(value).strip("-") if isinstance(value, list) else "",
)
def test_what_cannot_be_run_is_refused_before_anything_runs(tiny, args, words, tmp_path, capsys):
    assert exit_status(ablate_command, [*tiny, "--out", str(tmp_path / "out"), *args]) == 2
    assert words in capsys.readouterr().err
    assert not (tmp_path / "out" / "runs").exists()


def test_metrics_of_training_are_kept_beside_the_quality_distance(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr("stylegan2.ablation.looks.run_all", lambda *args, **options: 2)
    args = ["--fields", "noise", "--metrics.names", "[random_kernel]", "--out", str(tmp_path)]
    assert ablate_command([*tiny, *args]) == 128 + 2
    assert "names:\n  - random_frechet\n  - random_kernel\n" in load_study(tmp_path).base.read_text(
        encoding="utf-8"
    )


def test_seeds_that_are_added_after_a_look_are_warned_of(
    study, study_arguments, tmp_path, monkeypatch, capsys
):
    shutil.copytree(study.out, tmp_path / "out")
    monkeypatch.setattr("stylegan2.ablation.looks.run_all", lambda *args, **options: 2)
    args = [*study_arguments[:-1], str(tmp_path / "out"), "--seeds", "2", "--control_seeds", "2"]
    assert ablate_command(args) == 128 + 2
    assert "Seeds are added to a study that ended with 1" in capsys.readouterr().out


@pytest.mark.slow
def test_a_budget_sets_the_length_by_a_measured_speed(tiny, tmp_path, capsys):
    args = [*tiny, "--fields", "noise", "--seeds", "1", "--budget", "90s", "--out", str(tmp_path)]
    assert ablate_command(args) == 0
    assert "s per kimg" in capsys.readouterr().out and not (tmp_path / "speed").exists()
    study = load_study(tmp_path)
    assert study.kimg > 0.128 and all(study.result(run).status == "finished" for run in study.runs)
