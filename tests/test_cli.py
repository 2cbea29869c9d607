"""The command lines as a user meets them: run folders, resuming, stopping, errors before the work."""

import csv
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
import yaml
from PIL import Image
from training_cases import tiny_config

from stylegan2.__main__ import COMMANDS, main, run
from stylegan2.cli import CONFIGS
from stylegan2.tools.train import train_parser
from stylegan2.training.module import StyleGAN2

ROOT = Path(__file__).parent.parent
pytestmark = pytest.mark.filterwarnings("ignore")
TINY = tiny_config(kimg=0.08, log_kimg=0.016, sample_kimg=0.032, snapshot_kimg=0.032)


@pytest.fixture
def tiny(tmp_path):
    """Runs `train.py` on a tiny configuration in a folder of its own; returns the exit status."""
    (tmp_path / "tiny.yaml").write_text(TINY, encoding="utf-8")

    def train(*args, name="run"):
        base = ["--config", str(tmp_path / "tiny.yaml"), "--runs", str(tmp_path / "runs")]
        return run("train", [*base, "--name", name, *map(str, args)], "train.py")

    train.folder = tmp_path / "runs" / "run"
    return train


def rows(folder):
    with (folder / "metrics.csv").open() as file:
        return list(csv.DictReader(file))


def test_a_run_leaves_configuration_checkpoints_samples_and_numbers(tiny, capsys):
    assert tiny() == 0
    folder = tiny.folder
    names = sorted(path.name for path in (folder / "checkpoints").iterdir())
    assert names == ["kimg00000.032.ckpt", "kimg00000.064.ckpt", "last.ckpt"]
    assert (folder / "samples" / "reals.png").exists()
    size = Image.open(folder / "samples" / "reals.png").size
    assert all(Image.open(path).size == size for path in (folder / "samples").glob("kimg*.png"))
    table = rows(folder)
    assert [float(row["kimg"]) for row in table] == pytest.approx([0.016, 0.032, 0.048, 0.064, 0.08])
    assert {"loss_g", "loss_d", "r1", "path_length", "path_length_mean", "kimg_per_second"} <= set(table[0])
    config = yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))
    assert config["model"]["generator"]["z_dim"] == 8
    assert config["model"]["scalings"]["residual_gain"] == pytest.approx(0.5**0.5)
    out = capsys.readouterr().out
    assert f"stylegan2 generate --checkpoint {folder / 'checkpoints' / 'last.ckpt'}" in out


def test_resuming_by_last_continues_counters_and_numbers(tiny):
    assert tiny() == 0
    assert tiny("--ckpt_path", "last", "--kimg", 0.12) == 0
    assert [float(row["kimg"]) for row in rows(tiny.folder)][-2:] == pytest.approx([0.096, 0.112])
    state = torch.load(tiny.folder / "checkpoints" / "last.ckpt", weights_only=True)
    assert state["stylegan2"]["images"] == 120


def test_the_runs_own_configuration_resumes_it(tiny, tmp_path):
    assert tiny() == 0
    args = ["--config", str(tiny.folder / "config.yaml"), "--ckpt_path", "last", "--kimg", "0.1"]
    assert run("train", args, "train.py") == 0
    assert float(rows(tiny.folder)[-1]["kimg"]) > 0.08


def test_what_is_switched_off_stays_off_when_the_runs_own_configuration_resumes_it(tiny):
    assert tiny("--model.ema", "null", "--model.scalings.clamp", "null") == 0
    config = yaml.safe_load((tiny.folder / "config.yaml").read_text(encoding="utf-8"))
    assert config["model"]["ema"] is None and config["model"]["scalings"]["clamp"] is None
    args = ["--config", str(tiny.folder / "config.yaml"), "--ckpt_path", "last", "--kimg", "0.1"]
    assert run("train", args, "train.py") == 0


def test_an_old_run_is_never_written_over(tiny, capsys):
    assert tiny() == 0
    assert tiny() == 2
    assert "--ckpt_path last" in capsys.readouterr().err


def test_runs_without_a_name_are_numbered(tiny, tmp_path):
    base = ["--config", str(tmp_path / "tiny.yaml"), "--runs", str(tmp_path / "runs"), "--kimg", "0.008"]
    assert [run("train", base, "train.py") for _ in range(2)] == [0, 0]
    assert sorted(p.name for p in (tmp_path / "runs").iterdir()) == ["demo", "demo-2"]


def test_other_networks_than_the_checkpoints_are_refused_by_name(tiny, capsys):
    assert tiny() == 0
    changed = ["--model.scalings.activation_gain", 1, "--model.discriminator.channel_max", 4]
    assert tiny("--ckpt_path", "last", "--kimg", 1, *changed) == 2
    error = capsys.readouterr().err
    assert "scalings.activation_gain: 1.414" in error
    assert "discriminator.channel_max: 8 in the checkpoint, 4 configured" in error
    assert "generator.channel_max" not in error


@pytest.mark.parametrize(
    "args,words",
    [
        (["--data.path", "nowhere"], "nowhere"),
        (["--batch", 6], "minibatch_group"),
        (["--batch", 6, "--batch_per_device", 4], "multiple of 4"),
        (["--ckpt_path", "last"], "last.ckpt"),
        (["--ckpt_path", "missing.ckpt"], "missing.ckpt"),
        (["--kimg", -1], "kimg"),
        (["--data.resolution", 12], "power of two"),
        (["--model.generator.channel_base", 4], "channel_base"),
        (["--batch", 4000], "4000"),
    ],
)
def test_bad_input_ends_with_status_2_before_anything_is_written(tiny, capsys, args, words):
    assert tiny(*args) == 2
    assert words in capsys.readouterr().err
    assert not tiny.folder.exists()


@pytest.mark.parametrize(
    "args", [["--model.scalings.activation_gian", "1"], ["--kimg", "many"], ["--data.classes", "maybe"]]
)
def test_typos_and_wrong_types_end_with_status_2_and_name_the_option(tiny, capsys, args):
    with pytest.raises(SystemExit) as end:
        tiny(*args)
    assert end.value.code == 2
    assert args[0].strip("-").split(".")[-1] in capsys.readouterr().err


def test_a_diverged_run_ends_with_status_1_and_keeps_the_last_good_checkpoint(tiny, capsys, monkeypatch):
    original = StyleGAN2.discriminator_loss

    def broken(self, real, c):
        return original(self, real, c) * (float("nan") if self.iteration == 6 else 1)

    monkeypatch.setattr(StyleGAN2, "discriminator_loss", broken)
    assert tiny() == 1
    error = capsys.readouterr().err
    assert "iteration 6" in error and "loss_d" in error and "last.ckpt" in error
    state = torch.load(tiny.folder / "checkpoints" / "last.ckpt", weights_only=True)
    assert state["stylegan2"]["iteration"] == 4
    assert all(v.isfinite().all() for v in state["state_dict"].values())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_and_ends_with_the_resume_command(tmp_path, number):
    (tmp_path / "tiny.yaml").write_text(TINY, encoding="utf-8")
    args = ["--config", "tiny.yaml", "--kimg", "1000", "--name", "run", "--snapshot_kimg", "0"]
    job = subprocess.Popen(
        [sys.executable, str(ROOT / "train.py"), *args],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    metrics, deadline = tmp_path / "runs" / "run" / "metrics.csv", time.time() + 240
    while time.time() < deadline and not (
        metrics.exists() and len(metrics.read_text(encoding="utf-8").splitlines()) > 1
    ):
        time.sleep(0.2)
    job.send_signal(number)
    out, err = job.communicate(timeout=60)
    assert job.returncode == 128 + number, err
    assert "Traceback" not in err
    assert f"{ROOT / 'train.py'} --config runs/run/config.yaml --ckpt_path last" in out
    state = torch.load(tmp_path / "runs" / "run" / "checkpoints" / "last.ckpt", weights_only=True)
    assert state["stylegan2"]["images"] > 0


def test_wandb_offline_and_tensorboard_get_numbers_and_pictures(tiny, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    assert tiny("--loggers", "[wandb,tensorboard]") == 0
    assert list((tiny.folder / "wandb").glob("offline-run-*/*.wandb"))
    assert list((tiny.folder / "wandb").glob("offline-run-*/files/media/images/samples*.png"))
    assert list((tiny.folder / "tensorboard").glob("events.out.*"))


def test_layers_of_configuration_and_options_override_in_order(tmp_path):
    (tmp_path / "a.yaml").write_text("kimg: 1\nbatch: 4\nmodel: {scalings: {noise: false}}", encoding="utf-8")
    (tmp_path / "b.yaml").write_text("kimg: 2\nmodel: {scalings: {residual_gain: 1}}", encoding="utf-8")
    args = ["--config", str(tmp_path / "a.yaml"), "--config", str(tmp_path / "b.yaml")]
    config = train_parser().parse_args([*args, "--model.scalings.activation_gain", "1"])
    assert (config.kimg, config.batch) == (2, 4)
    scalings = config.model.scalings
    assert (scalings.noise, scalings.residual_gain, scalings.activation_gain) == (False, 1, 1)


def test_print_config_shows_the_merged_run(capsys):
    with pytest.raises(SystemExit) as end:
        run("train", ["--kimg", "3", "--print_config"], "train.py")
    assert end.value.code == 0
    config = yaml.safe_load(capsys.readouterr().out)
    assert config["kimg"] == 3
    demo = yaml.safe_load((CONFIGS / "demo.yaml").read_text(encoding="utf-8"))
    assert config["model"]["generator"]["channel_base"] == demo["model"]["generator"]["channel_base"]


def test_a_path_without_configuration_takes_the_auto_recipe(capsys):
    with pytest.raises(SystemExit):
        run("train", ["--data.path", "photos", "--print_config"], "train.py")
    config = yaml.safe_load(capsys.readouterr().out)
    assert config["model"]["generator"]["channel_base"] == 16384
    assert config["model"]["r1"]["gamma"] == pytest.approx(0.0002 * 256**2 / 32)


def test_help_explains_every_field_with_its_default(capsys):
    with pytest.raises(SystemExit) as end:
        run("train", ["--help"], "train.py")
    assert end.value.code == 0
    text = " ".join(capsys.readouterr().out.split())
    for words in (
        "--model.scalings.residual_gain",
        "√½ keeps the variance of their sum",
        "'skip_init'], float], default: 0.7071067811865476)",
        "--model.path_length.normalize_by_image_size",
        "--model.ema EMA",
        "half_life_kimg",
        "--data.mirror",
        "--batch_per_device",
    ):
        assert words in text, words


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help(name, capsys):
    with pytest.raises(SystemExit) as end:
        main([name, "--help"])
    assert end.value.code == 0
    assert "options:" in capsys.readouterr().out


def test_the_command_lists_its_commands_and_refuses_others(capsys):
    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    assert all(name in text for name in COMMANDS)
    assert main(["trian"]) == 2
    assert "trian" in capsys.readouterr().err


HOSTILE = [
    "model: {ema: {class_path: %s}}",
    "model: {ema: %s}",
    "model: {scalings: {class_path: %s}}",
    "model: {r1: {class_path: %s}}",
    "model: {generator: {class_path: %s, init_args: {}}}",
    "model: {class_path: %s}",
    "data: {class_path: %s}",
    "loggers: [{class_path: %s}]",
    "devices: {class_path: %s}",
]


@pytest.mark.parametrize("hostile", HOSTILE)
def test_a_configuration_imports_nothing_that_it_names(tmp_path, hostile):
    (tmp_path / "planted.py").write_text(
        f"open({str(tmp_path / 'it_ran')!r}, 'w')\nclass X: pass\n", encoding="utf-8"
    )
    (tmp_path / "evil.yaml").write_text(hostile % "planted.X", encoding="utf-8")
    code = (
        "import sys; from stylegan2.__main__ import main; "
        "sys.exit(main(['train', '--config', 'evil.yaml', '--print_config']))"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])}
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True)
    assert done.returncode == 2 and b"Traceback" not in done.stderr
    assert not (tmp_path / "it_ran").exists()
