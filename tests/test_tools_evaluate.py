"""`stylegan2 evaluate`: checkpoints and whole runs, what it writes, and what it refuses."""

import os
import shutil
import subprocess
import sys

import pytest
import torch
from PIL import Image

from stylegan2.__main__ import run
from stylegan2.metrics import reference
from stylegan2.metrics.figures import read_figures
from stylegan2.networks.generator import Generator
from stylegan2.tools.evaluate import checkpoint_files
from stylegan2.tools.train import train_command

SMALL = ["--images", "20", "--features", "random", "--device", "cpu"]


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setattr(reference, "cache_folder", lambda: tmp_path / "cache")


@pytest.fixture(scope="module")
def trained(tiny, tmp_path_factory):
    """A run with three numbered checkpoints, which measures its metrics itself too."""
    runs = tmp_path_factory.mktemp("runs")
    metrics = "--metrics.names fid precision --metrics.every_kimg 0.016 --metrics.images 20 --metrics.features random"
    args = [*tiny[:2], "--runs", str(runs), "--name", "demo", "--snapshot_kimg", "0.016", *metrics.split()]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reference, "cache_folder", lambda: runs / "cache")
        assert train_command(args) == 0
    return runs / "demo"


@pytest.fixture
def demo(trained, tmp_path):
    return shutil.copytree(trained, tmp_path / "runs" / "demo")


def evaluate(*args):
    return run("evaluate", [*map(str, args), *SMALL], "stylegan2 evaluate")


def test_a_run_gives_a_table_a_file_and_a_curve_of_its_numbered_checkpoints(demo, capsys):
    assert evaluate("--checkpoint", demo, "--names", "fid", "precision") == 0
    out = capsys.readouterr().out
    figures = read_figures(demo / "evaluation.csv")
    assert [(f.kimg, f.name) for f in figures] == [
        (kimg, name) for kimg in (0.016, 0.032, 0.048, 0.064) for name in ("fid", "precision")
    ]
    assert out.splitlines()[0].split() == ["checkpoint", "kimg", "(1)", "(2)"]
    assert "Fréchet distance, random-convolution features (lower is better)" in out and "FID" not in out
    assert out.count("kimg00000.032.ckpt") == 1 and str(demo / "evaluation.csv") in out
    with Image.open(demo / "evaluation.png") as picture:
        assert picture.width > 1000 and len(set(picture.convert("L").getdata())) > 50


def test_a_checkpoint_has_the_figures_that_were_measured_during_training(demo):
    """The generator EMA, the same seeds, and the same real images."""
    assert evaluate("--checkpoint", demo, "--names", "fid,precision") == 0
    found = read_figures(demo / "evaluation.csv")
    expected = read_figures(demo / "figures.csv")
    assert [f.key for f in found] == [f.key for f in expected] and len(found) == 8
    assert [f.value for f in found] == pytest.approx([f.value for f in expected], rel=1e-6)


def test_earlier_figures_stay_in_the_file_and_the_same_ones_are_replaced(demo):
    file = demo / "checkpoints" / "kimg00000.032.ckpt"
    for args in (
        ["--names", "fid"],
        ["--names", "kid"],
        ["--names", "fid"],
        ["--names", "fid", "--seed", "1"],
    ):
        assert evaluate("--checkpoint", file, *args, "--out", demo) == 0
    figures = read_figures(demo / "evaluation.csv")
    assert [(f.name, f.seed) for f in figures] == [("kid", 0), ("fid", 0), ("fid", 1)]
    assert not (demo / "evaluation.png").exists()  # one checkpoint is no curve


def test_several_files_come_from_the_shell_and_other_sizes_stand_in_another_table(demo, tmp_path, capsys):
    larger = Generator(16, z_dim=8, w_dim=8, mapping_layers=2, channel_base=64, channel_max=8)
    torch.save(larger.state_dict(), tmp_path / "larger.pt")
    files = [*sorted((demo / "checkpoints").glob("kimg*"))[:2], tmp_path / "larger.pt"]
    assert evaluate("--checkpoint", *files, "--names", "fid", "--out", tmp_path / "there") == 0
    out = capsys.readouterr().out
    assert out.startswith("These are 2 tables") and "cannot be compared" in out
    figures = read_figures(tmp_path / "there" / "evaluation.csv")
    assert [f.checkpoint for f in figures] == [str(file) for file in files]
    assert figures[0].reference == figures[1].reference != figures[2].reference
    assert (figures[0].resize, figures[2].resize) == ("Lanczos to 8; none", "Lanczos to 16; none")


def test_files_of_a_run_come_in_the_order_of_training(tmp_path):
    folder = tmp_path / "a" / "checkpoints"
    folder.mkdir(parents=True)
    for name in ("last", "kimg00010.000", "kimg00002.000", "kimg100000.000", "kimg00001.000-good"):
        (folder / f"{name}.ckpt").touch()
    names = [file.name for file in checkpoint_files([str(tmp_path / "a")])]
    assert names == ["kimg00002.000.ckpt", "kimg00010.000.ckpt", "kimg100000.000.ckpt"]
    for file in folder.glob("kimg*"):
        file.unlink()
    assert [file.name for file in checkpoint_files([str(tmp_path / "a")])] == ["last.ckpt"]


def refused(capsys, *args):
    assert evaluate(*args) == 2
    return capsys.readouterr().err


def test_what_cannot_be_measured_is_refused_before_the_work(demo, tmp_path, capsys):
    last = demo / "checkpoints" / "last.ckpt"
    assert "Expected --checkpoint FILE" in refused(capsys)
    assert "found no such file" in refused(capsys, "--checkpoint", demo / "missing.ckpt")
    assert "found no checkpoints" in refused(capsys, "--checkpoint", tmp_path)
    assert "Did you mean fid" in refused(capsys, "--checkpoint", last, "--names", "fidd")
    assert "Expected --names of at least one" in refused(capsys, "--checkpoint", last, "--names", "[]")
    assert "needs the classes" in refused(capsys, "--checkpoint", last, "--names", "inception_score")
    assert "Set --data.classes as in training" in refused(
        capsys, "--checkpoint", last, "--data.classes", "folders", "--data.path", "demo"
    )
    alone = shutil.copy(last, tmp_path / "alone.ckpt")
    assert "Expected --data.path" in refused(capsys, "--checkpoint", alone)
    args = ["--checkpoint", str(last), "--features_path", "x.pth"]
    assert run("evaluate", args, "stylegan2 evaluate") == 2
    assert "Inception-v3 at x.pth, found no such file" in capsys.readouterr().err


def test_figures_of_the_checkpoints_before_a_damaged_one_are_kept(demo, capsys):
    middle = sorted((demo / "checkpoints").glob("kimg*"))[1]
    middle.write_bytes(b"damaged")
    assert "cannot be read" in refused(capsys, "--checkpoint", demo, "--names", "fid")
    assert [f.kimg for f in read_figures(demo / "evaluation.csv")] == [0.016]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="gloo with torchrun is tried on Linux alone")
def test_processes_of_torchrun_share_the_work_and_give_the_figures_of_one(demo, tmp_path):
    file, names = demo / "checkpoints" / "kimg00000.032.ckpt", "fid,kid,ppl,precision,random_frechet"
    args = ["--checkpoint", str(file), "--names", names, "--images", "150", *SMALL[2:]]
    found = []
    for processes in (1, 3):
        out = tmp_path / f"out{processes}"
        launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
        command = [sys.executable, *launcher, "-m", "stylegan2", "evaluate", *args, "--out", str(out)]
        environment = os.environ | {
            "STYLEGAN2_CACHE": str(tmp_path / f"cache{processes}"),
            "OMP_NUM_THREADS": "1",
            "STYLEGAN2_KERNELS": "off",
        }
        done = subprocess.run(command, capture_output=True, encoding="utf-8", env=environment, timeout=300)
        assert done.returncode == 0, done.stderr
        assert done.stdout.count("Figures ") == 1
        found.append(read_figures(out / "evaluation.csv"))
    one, three = found
    assert [f.key for f in one] == [f.key for f in three] and len(one) == 5
    assert [f.value for f in three] == pytest.approx([f.value for f in one], rel=1e-9)
