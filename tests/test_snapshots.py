"""When checkpoints are written and which stay; the commands with damaged and diverged ones."""

import errno
import math
import shutil
import sys
from dataclasses import replace
from types import SimpleNamespace

import pytest
import pytorch_lightning as pl
import torch
from figure_cases import ONE
from training_cases import assert_same_state, fit, make_model, tiny_config

from stylegan2.__main__ import run
from stylegan2.files import read_csv
from stylegan2.images import save_png
from stylegan2.metrics.figures import write_figures
from stylegan2.training import checkpoint
from stylegan2.training.loggers import CSVLogger
from stylegan2.training.module import StyleGAN2
from stylegan2.training.snapshots import Snapshots

pytestmark = pytest.mark.filterwarnings("ignore")
TINY = tiny_config(
    {"path": "demo/smileys-emotion"}, kimg=0.08, log_kimg=0.024, sample_kimg=0, snapshot_kimg=0.032
)


@pytest.fixture
def train(tmp_path):
    (tmp_path / "tiny.yaml").write_text(TINY, encoding="utf-8")
    base = ["--config", str(tmp_path / "tiny.yaml"), "--runs", str(tmp_path)]
    return lambda name, *args: run("train", [*base, "--name", name, *map(str, args)], "train.py")


def flip(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 16
    path.write_bytes(data)


# ---- which stay


class Schedule:
    """Snapshots on their own, with a checkpoint of one byte."""

    def __init__(self, folder, monkeypatch, **options):
        def save(trainer, module, path, also=None):
            for each in (path, also) if also else (path,):
                each.write_bytes(b"x")

        monkeypatch.setattr(checkpoint, "save", save)
        self.folder = folder / "checkpoints"
        self.folder.mkdir(exist_ok=True)
        self.snapshots = Snapshots(self.folder, 1, **options)

    def run(self, *kimg):
        trainer = SimpleNamespace(is_global_zero=True, ckpt_path=None)
        for value in kimg:
            module = SimpleNamespace(
                images=1000 * value, batch=1000, loss_check=SimpleNamespace(check=lambda: None)
            )
            self.snapshots.on_train_batch_end(trainer, module)
        return [int(path.name[4:9]) for path in sorted(self.folder.glob("kimg*"))]


def test_the_newest_numbered_checkpoints_stay(tmp_path, monkeypatch):
    assert Schedule(tmp_path, monkeypatch, keep=3).run(*range(1, 9)) == [6, 7, 8]


def test_without_a_limit_all_stay(tmp_path, monkeypatch):
    assert Schedule(tmp_path, monkeypatch).run(*range(1, 9)) == list(range(1, 9))


def write(folder, better, **values):
    """figures.csv with values of a metric by kimg, written as k3=2.5."""
    figures = [
        replace(ONE, name="a", better=better, kimg=float(k[1:]), value=v, checkpoint="")
        for k, v in values.items()
    ]
    write_figures(folder / "figures.csv", [*figures, replace(ONE, name="b", kimg=1.0, value=1.0)])


@pytest.mark.parametrize("better,sign", [("lower", 1), ("higher", -1)])
def test_the_best_by_the_metric_stays_too(better, sign, tmp_path, monkeypatch):
    write(tmp_path, better, k1=5 * sign, k3=2 * sign, k5=3 * sign, k6=math.nan)
    schedule = Schedule(tmp_path, monkeypatch, keep=2, metric="a")
    assert schedule.run(*range(1, 9)) == [3, 7, 8]
    write(tmp_path, better, k3=2 * sign, k8=1 * sign)
    assert schedule.run(9, 10, 11) == [8, 10, 11]


def test_figures_on_something_else_do_not_decide_which_is_the_best(tmp_path, monkeypatch):
    """For example if the run was resumed with another number of images."""
    a = replace(ONE, name="a", checkpoint="")
    old = [replace(a, kimg=k, value=v, images=100) for k, v in ((1.0, 0.1), (2.0, 0.2))]
    new = [replace(a, kimg=k, value=v, images=1000) for k, v in ((3.0, 9.0), (4.0, 7.0), (5.0, 8.0))]
    write_figures(tmp_path / "figures.csv", [*old, *new])
    assert Schedule(tmp_path, monkeypatch, keep=1, metric="a").run(*range(1, 8)) == [4, 7]


def test_checkpoints_that_the_run_does_not_remember_are_never_removed(tmp_path, monkeypatch):
    """Those of a version without a limit, of a user, or of a time after the checkpoint that the run went back to."""
    schedule = Schedule(tmp_path, monkeypatch, keep=2)
    for name in ("kimg00001.000", "kimg00002.000-good", "kimg00090.000"):
        (schedule.folder / f"{name}.ckpt").touch()
    assert schedule.run(3, 4, 5, 6) == [1, 2, 5, 6, 90]
    resumed = Schedule(tmp_path, monkeypatch, keep=2)
    resumed.snapshots.load_state_dict(schedule.snapshots.state_dict())
    assert resumed.run(7, 8) == [1, 2, 7, 8, 90]


def test_keep_is_an_option_of_training(train, tmp_path, capsys):
    assert train("a", "--snapshot_kimg", 0.016, "--keep", 2) == 0
    names = sorted(path.name for path in (tmp_path / "a" / "checkpoints").iterdir())
    assert names == ["kimg00000.064.ckpt", "kimg00000.080.ckpt", "last.ckpt"]
    assert train("b", "--keep", 0) == 2
    assert "keep of 1 or more" in capsys.readouterr().err and not (tmp_path / "b").exists()


# ---- when they are written


class CopyFirst(pl.Callback):
    """Sets the checkpoint aside that is there when the first iteration ends."""

    def __init__(self, path):
        self.path = path

    def on_train_batch_end(self, trainer, module, *_):
        if module.iteration == 1:
            shutil.copy(self.path, self.path.with_name("first.ckpt"))


def test_the_first_checkpoint_is_written_at_once_and_resumes_exactly(tmp_path):
    whole = fit(make_model(), 3, Snapshots(tmp_path, 0), CopyFirst(tmp_path / "last.ckpt"))
    first = torch.load(tmp_path / "first.ckpt", weights_only=True)
    assert first["stylegan2"]["images"] == 0
    resumed = fit(make_model(seed=99), 3, Snapshots(tmp_path, 0), resume=tmp_path / "first.ckpt")
    assert_same_state(whole, resumed, rtol=0, atol=0)


def test_resuming_from_last_does_not_write_it_again_at_once(tmp_path):
    fit(make_model(), 1, Snapshots(tmp_path, 0))
    before = (tmp_path / "last.ckpt").stat().st_mtime_ns
    seen = []
    recorder = pl.callbacks.LambdaCallback(
        on_train_batch_end=lambda *_: seen.append((tmp_path / "last.ckpt").stat().st_mtime_ns)
    )
    fit(make_model(), 2, Snapshots(tmp_path, 0), recorder, resume=tmp_path / "last.ckpt")
    assert seen[0] == before


def test_rows_of_numbers_are_the_same_after_a_resume(train, tmp_path):
    """The run is cut at 0.04 kimg, in the middle of the second row."""
    assert train("whole") == 0
    assert train("cut", "--kimg", 0.04) == 0
    assert train("cut", "--ckpt_path", "last") == 0
    whole, cut = (read_csv(tmp_path / name / "metrics.csv") for name in ("whole", "cut"))
    for row in (*whole, *cut):
        del row["kimg_per_second"]
    assert len(whole) == 3 and whole == cut


def test_rows_and_checkpoints_of_long_runs_still_find_each_other(tmp_path):
    from stylegan2.training.loggers import CSVLogger

    logger = CSVLogger(tmp_path / "metrics.csv")
    for images in (12_345_664, 12_345_696):
        logger.log_metrics({"kimg": images / 1000, "iteration": images // 32, "loss_g": 1 / 3})
    logger.forget_after(12_345.664)
    assert read_csv(logger.path) == [{"kimg": "12345.664", "iteration": "385802", "loss_g": "0.333333"}]


def test_leftovers_of_a_kill_are_removed_at_the_next_start(train, tmp_path):
    assert train("a", "--kimg", 0.008) == 0
    leftovers = [tmp_path / "a" / "checkpoints" / ".last.ckpt.123.456.tmp", tmp_path / "a" / ".x.csv.1.2.tmp"]
    for path in leftovers:
        path.touch()
    assert train("a", "--kimg", 0.016, "--ckpt_path", "last") == 0
    assert not any(path.exists() for path in leftovers)


# ---- damaged and diverged


def test_damage_is_told_by_every_command_that_loads(train, tmp_path, capsys):
    assert train("a") == 0
    folder = tmp_path / "a"
    last = folder / "checkpoints" / "last.ckpt"
    flip(last)
    before = sorted(folder.rglob("*"))
    capsys.readouterr()
    commands = [
        ("train", ["--config", str(folder / "config.yaml"), "--ckpt_path", "last", "--kimg", "1"]),
        ("generate", ["--checkpoint", str(last), "--out", str(tmp_path / "out")]),
        ("probe", ["--checkpoint", str(last), "--variants", "none", "--out", str(tmp_path / "out")]),
    ]
    for command, args in commands:
        assert run(command, args, f"{command}.py") == 2
        error = capsys.readouterr().err
        assert f"{last} is damaged" in error and "kimg00000.064.ckpt" in error
    assert sorted(folder.rglob("*")) == before and not (tmp_path / "out").exists()


def test_a_run_whose_last_iteration_diverges_ends_with_status_1(train, tmp_path, capsys, monkeypatch):
    """Its losses are finite; the step after them breaks the weights."""
    advance = StyleGAN2._advance

    def broken(self):
        advance(self)
        if self.iteration == 10:
            self.discriminator.b4.out.weight.data.fill_(torch.nan)

    monkeypatch.setattr(StyleGAN2, "_advance", broken)
    assert train("a") == 1
    out, error = capsys.readouterr()
    assert "Finished" not in out and "discriminator.b4.out.weight" in error and "last.ckpt" in error
    assert torch.load(tmp_path / "a" / "checkpoints" / "last.ckpt")["stylegan2"]["iteration"] == 8


# ---- files that cannot be written


def full_disk(monkeypatch, calls):
    """Make some of the writings of a checkpoint fail, by their numbers."""
    written, real = [], torch.save

    def save(contents, file):
        written.append(file)
        if len(written) - 1 in calls:
            file.write(b"half")
            raise OSError(errno.ENOSPC, "No space left on device")
        real(contents, file)

    monkeypatch.setattr(torch, "save", save)


def test_a_full_disk_does_not_end_training_and_the_next_checkpoint_is_written(
    train, tmp_path, monkeypatch, capsys
):
    full_disk(monkeypatch, {1})
    assert train("x") == 0
    err = capsys.readouterr().err
    assert "No space left on device" in err and "Training goes on." in err
    folder = tmp_path / "x" / "checkpoints"
    assert sorted(path.name for path in folder.iterdir()) == ["kimg00000.064.ckpt", "last.ckpt"]
    assert torch.load(folder / "last.ckpt", weights_only=True)["stylegan2"]["images"] == 80


def test_a_copy_that_cannot_be_written_is_told(train, tmp_path, monkeypatch, capsys):
    def copyfile(source, target):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(shutil, "copyfile", copyfile)
    assert train("x") == 0
    assert "kimg00000.032.ckpt, found No space left on device" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "x" / "checkpoints").iterdir()] == ["last.ckpt"]


def test_a_last_checkpoint_that_cannot_be_written_gives_status_2(train, tmp_path, monkeypatch, capsys):
    full_disk(monkeypatch, {3})
    assert train("x") == 2
    assert "The previous checkpoint is unchanged" in capsys.readouterr().err
    last = torch.load(tmp_path / "x" / "checkpoints" / "last.ckpt", weights_only=True)
    assert last["stylegan2"]["images"] == 64


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limit on the size of files")
def test_a_row_that_cannot_be_written_whole_leaves_none(tmp_path, capsys):
    import resource

    logger = CSVLogger(tmp_path / "metrics.csv")
    row = {"kimg": 1.0, "loss": 0.5}
    logger.log_metrics(row)
    before = logger.path.read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 3, limits[1]))
    try:
        logger.log_metrics(row)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert logger.path.read_bytes() == before and "Training goes on." in capsys.readouterr().err
    logger.log_metrics(row)
    assert [row["loss"] for row in read_csv(logger.path)] == ["0.5", "0.5"]


def test_samples_that_cannot_be_written_do_not_keep_the_last_checkpoint_away(
    train, tmp_path, monkeypatch, capsys
):
    def refuse(image, path):
        if path.name not in ("reals.png", "kimg00000.000.png"):
            raise OSError(errno.EROFS, "Read-only file system")
        save_png(image, path)

    monkeypatch.setattr("stylegan2.training.samples.save_png", refuse)
    assert train("x", "--sample_kimg", 0.016) == 0
    assert capsys.readouterr().err.count("Read-only file system Training goes on.") == 6
    last = torch.load(tmp_path / "x" / "checkpoints" / "last.ckpt", weights_only=True)
    assert last["stylegan2"]["images"] == 80
