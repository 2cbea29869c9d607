"""Data that fail while a run trains on them."""

import os
import signal
from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch
from image_sets import make_two_classes, noise, zipped
from training_cases import tiny_config

from stylegan2.__main__ import run
from stylegan2.training.callbacks import Progress

pytestmark = pytest.mark.filterwarnings("ignore")
TINY = tiny_config({"cache_gb": 0}, kimg=0.8, batch=4)


class Spoiler:
    """Does something after two iterations."""

    def __init__(self, monkeypatch, action):
        def on_train_batch_end(callback, trainer: pl.Trainer, module, *_):
            if module.iteration == 2:
                action()

        monkeypatch.setattr(Progress, "on_train_batch_end", on_train_batch_end)


def train(folder: Path, data: Path, *args: str) -> int:
    (folder / "tiny.yaml").write_text(TINY, encoding="utf-8")
    base = ["--config", str(folder / "tiny.yaml"), "--runs", str(folder / "runs"), "--name", "run"]
    return run("train", [*base, "--data.path", str(data), *args], "train.py")


def images(folder: Path) -> int:
    state = torch.load(folder / "runs/run/checkpoints/last.ckpt", weights_only=True)
    return state["stylegan2"]["images"]


@pytest.mark.parametrize("workers", ["0", "2"])
def test_a_run_goes_on_without_an_image_that_is_spoilt(tmp_path, monkeypatch, workers):
    data = make_two_classes(tmp_path / "set")
    Spoiler(monkeypatch, lambda: (data / "cats/0.png").write_bytes(b""))
    assert train(tmp_path, data, "--data.workers", workers, "--kimg", "0.04") == 0
    assert images(tmp_path) == 40


@pytest.mark.parametrize("workers", ["0", "2"])
def test_a_run_whose_zip_is_spoilt_ends_with_a_checkpoint_and_a_message(
    tmp_path, monkeypatch, capsys, workers
):
    for k in range(6):
        noise(tmp_path / f"set/{k}.png", 64, k)
    path = zipped(tmp_path / "set")
    Spoiler(monkeypatch, lambda: path.write_bytes(bytes(path.stat().st_size)))
    assert train(tmp_path, path, "--data.workers", workers) == 2
    assert 8 <= images(tmp_path) < 800
    assert "Expected at most 1 of 6 images to become unreadable" in capsys.readouterr().err


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="children are listed on Linux alone")
def test_a_run_whose_worker_is_killed_ends_with_a_checkpoint_and_a_message(tmp_path, monkeypatch, capsys):
    children = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children")
    before = children.read_text(encoding="utf-8").split()

    def kill():
        for pid in set(children.read_text(encoding="utf-8").split()) - set(before):
            os.kill(int(pid), signal.SIGKILL)

    Spoiler(monkeypatch, kill)
    assert train(tmp_path, make_two_classes(tmp_path / "set"), "--data.workers", "1") == 2
    assert 8 <= images(tmp_path) < 800
    assert "A process that decodes images has ended" in capsys.readouterr().err
