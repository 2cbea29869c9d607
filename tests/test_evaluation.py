"""Metrics during training: where their values go, and that training does not notice."""

import pytest
import torch

from stylegan2.cli import exit_status
from stylegan2.files import read_csv
from stylegan2.metrics import reference
from stylegan2.metrics.figures import read_figures
from stylegan2.tools.train import train_command


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setattr(reference, "cache_folder", lambda: tmp_path / "cache")


def run(tiny, tmp_path, name, *args):
    command = [*tiny[:2], "--runs", str(tmp_path), "--name", name, "--log_kimg", "0.016", *args]
    assert train_command(command) == 0
    folder = tmp_path / name
    checkpoint = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)
    return read_csv(folder / "metrics.csv"), checkpoint


def test_training_with_metrics_is_training_without_bit_for_bit(tiny, tmp_path):
    args = ["--metrics.names", "[random_frechet,random_kernel]", "--metrics.every_kimg", "0.024"]
    rows, measured = run(tiny, tmp_path, "measured", *args, "--metrics.images", "20")
    plain_rows, plain = run(tiny, tmp_path, "plain")
    assert measured["state_dict"].keys() == plain["state_dict"].keys()
    for name, value in plain["state_dict"].items():
        assert torch.equal(value, measured["state_dict"][name]), name
    for ours, theirs in zip(measured["stylegan2"]["random"], plain["stylegan2"]["random"]):
        assert torch.equal(ours["cpu"], theirs["cpu"])

    values = [row for row in rows if row["metric_random_frechet"]]
    assert [float(row["kimg"]) for row in values] == [0.024, 0.048, 0.064]
    assert all(row["metric_random_kernel"] and float(row["evaluation_seconds"]) > 0 for row in values)
    assert [row["loss_g"] for row in rows if row["loss_g"]] == [row["loss_g"] for row in plain_rows]
    assert not any(name.startswith("metric_") for name in plain_rows[0])


def test_a_resumed_run_measures_what_an_uninterrupted_one_does(tiny, tmp_path):
    args = ["--metrics.names", "[random_frechet]", "--metrics.every_kimg", "0.032", "--metrics.images", "20"]
    whole, _ = run(tiny, tmp_path, "whole", *args)
    run(tiny, tmp_path, "resumed", *args, "--kimg", "0.032")
    resumed, _ = run(tiny, tmp_path, "resumed", *args, "--ckpt_path", "last")
    expected, found = (
        [row["metric_random_frechet"] for row in rows if row["evaluation_seconds"]]
        for rows in (whole, resumed)
    )
    assert found == expected and len(found) == 2


@pytest.mark.parametrize(
    "args,message",
    [
        (["fidd"], "Did you mean fid"),
        (
            ["fid", "--metrics.features_path", "missing.pth"],
            "Inception-v3 at missing.pth, found no such file",
        ),
        (["fid", "--metrics.features", "inceptoin"], "Did you mean inception"),
    ],
)
def test_a_metric_that_cannot_be_measured_is_refused_before_anything_is_written(
    args, message, tiny, tmp_path, capsys
):
    args = [*tiny[:2], "--runs", str(tmp_path / "runs"), "--metrics.names", *args]
    assert exit_status(train_command, args) == 2
    assert message in capsys.readouterr().err and not (tmp_path / "runs").exists()


def test_figures_have_their_provenance_in_the_folder_and_their_values_in_metrics_csv(tiny, tmp_path):
    args = [
        "--metrics.names",
        "kid",
        "random_frechet",
        "--metrics.every_kimg",
        "0.032",
        "--metrics.images",
        "20",
    ]
    rows, _ = run(tiny, tmp_path, "measured", *args, "--metrics.features", "random", "--metrics.repeats", "2")
    figures = read_figures(tmp_path / "measured" / "figures.csv")
    assert [(f.kimg, f.name) for f in figures] == [
        (kimg, name) for kimg in (0.032, 0.064) for name in ("kid", "random_frechet")
    ]
    logged = [row for row in rows if row["evaluation_seconds"]]
    for row, figure in zip(logged, figures[::2]):
        assert float(row["metric_kernel_distance_random"]) == pytest.approx(figure.value, rel=1e-5)
    assert {(f.images, f.repeats, f.reals) for f in figures} == {(20, 2, 169)}
    assert not any("kid" in name for name in rows[0])  # these features give no KID


def test_a_resumed_run_measures_later_figures_again(tiny, tmp_path):
    args = ["--metrics.names", "random_frechet", "--metrics.every_kimg", "0.016", "--metrics.images", "20"]
    run(tiny, tmp_path, "run", *args, "--snapshot_kimg", "0.032")
    file = tmp_path / "run" / "figures.csv"
    whole = read_figures(file)
    assert [f.kimg for f in whole] == [0.016, 0.032, 0.048, 0.064]
    middle = str(tmp_path / "run" / "checkpoints" / "kimg00000.032.ckpt")
    run(tiny, tmp_path, "run", *args, "--ckpt_path", middle)
    again = read_figures(file)
    assert [(f.kimg, f.value) for f in again] == [(f.kimg, f.value) for f in whole]
