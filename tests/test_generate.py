"""Generation from checkpoints: the same seed is the same image, whatever else is asked for."""

import numpy as np
import pytest
import torch
from PIL import Image

from stylegan2.__main__ import run
from stylegan2.formats import load_generator
from stylegan2.tools.generate import generate_image, parse_numbers

pytestmark = pytest.mark.filterwarnings("ignore")
CONFIG = """
data: {{resolution: 8, classes: {classes}, channels: {channels}}}
kimg: 0.016
batch: 8
accelerator: cpu
model:
  generator: {{z_dim: 8, w_dim: 8, mapping_layers: 2, channel_base: 64, channel_max: 8}}
  discriminator: {{channel_base: 64, channel_max: 8, mapping_layers: 2}}
"""


@pytest.fixture(scope="module", params=[("none", 3), ("folders", 1), ("none", 4)], ids=str)
def checkpoint(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    classes, channels = request.param
    (folder / "tiny.yaml").write_text(CONFIG.format(classes=classes, channels=channels))
    args = ["--config", str(folder / "tiny.yaml"), "--runs", str(folder), "--name", "run"]
    assert run("train", args, "train.py") == 0
    return folder / "run" / "checkpoints" / "last.ckpt"


def generate(checkpoint, out, *args):
    return run(
        "generate", ["--checkpoint", str(checkpoint), "--out", str(out), *map(str, args)], "generate.py"
    )


def test_a_seed_is_the_same_image_whatever_seeds_it_comes_with(checkpoint, tmp_path):
    assert (
        generate(
            checkpoint,
            tmp_path / "a",
            "--seeds",
            "0-4,42",
            "--noise",
            "random",
            "--psi",
            0.7,
        )
        == 0
    )
    assert generate(checkpoint, tmp_path / "b", "--seeds", "42,3", "--noise", "random", "--psi", 0.7) == 0
    network, _ = load_generator(checkpoint)
    if network.num_classes:  # the seeds take the classes in turn
        return
    for seed in (3, 42):
        name = f"seed{seed:04d}.png"
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_a_png_a_seed_and_a_grid(checkpoint, tmp_path):
    assert generate(checkpoint, tmp_path, "--seeds", "0-5", "--grid", "3x2") == 0
    assert sorted(p.name for p in tmp_path.iterdir()) == ["grid.png", *(f"seed{i:04d}.png" for i in range(6))]
    grid, third = Image.open(tmp_path / "grid.png"), Image.open(tmp_path / "seed0004.png")
    assert grid.size == (24, 16)
    assert np.array_equal(np.asarray(grid.crop((8, 8, 16, 16))), np.asarray(third))
    network, _ = load_generator(checkpoint)
    assert third.mode == {1: "L", 3: "RGB", 4: "RGBA"}[network.img_channels]


def test_psi_zero_is_the_mean_image_and_noise_none_is_plain(checkpoint):
    network, _ = load_generator(checkpoint)
    label = torch.zeros(network.num_classes)
    a, b = (generate_image(network, seed, label, psi=0.0, noise="none") for seed in (0, 1))
    torch.testing.assert_close(a, b)
    assert not torch.allclose(a, generate_image(network, 0, label, noise="none"))


def test_the_latent_is_the_official_one_of_the_seed(checkpoint):
    network, _ = load_generator(checkpoint)
    label = torch.zeros(network.num_classes)
    z = torch.from_numpy(np.random.RandomState(5).randn(1, 8)).float()
    with torch.no_grad():
        expected = network(z, label[None], noise="const")[0]
    torch.testing.assert_close(generate_image(network, 5, label), expected)


def test_checkpoints_open_without_running_code_and_without_configuration(checkpoint):
    network, state = load_generator(checkpoint)
    stored = torch.load(checkpoint, weights_only=True)["state_dict"]
    assert torch.equal(stored["generator_ema.synthesis.b4.const"], network.synthesis.b4.const)
    assert state["images"] == 16 and not network.training


@pytest.mark.parametrize(
    "args,words",
    [
        (["--seeds", "1-"], "0-15,42"),
        (["--seeds", "5-2"], "0-15,42"),
        (["--seeds", "0-15", "--grid", "3x3"], "16 images"),
        (["--classes", "99"], "classes"),
        (["--cutoff", "-1"], "found -1"),
        (["--device", "cuda:77"], "cuda:77"),
    ],
)
def test_bad_options_end_with_status_2(checkpoint, tmp_path, capsys, args, words):
    assert generate(checkpoint, tmp_path / "out", *args) == 2
    assert words in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_files_that_are_no_checkpoints_are_refused(tmp_path, capsys):
    for name, content in {"text.ckpt": b"hello", "empty.ckpt": b""}.items():
        (tmp_path / name).write_bytes(content)
    torch.save({"weights": torch.zeros(1)}, tmp_path / "other.pt")
    for name in ("text.ckpt", "empty.ckpt", "other.pt", "missing.ckpt"):
        assert generate(tmp_path / name, tmp_path / "out") == 2
        error = capsys.readouterr().err
        assert name in error and "Traceback" not in error


def test_numbers_and_ranges():
    assert parse_numbers("0-3,42", "--seeds") == [0, 1, 2, 3, 42]
