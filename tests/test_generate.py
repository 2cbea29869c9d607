"""Generation from checkpoints: the same seed is the same image, whatever else is asked for."""

import re
import weakref
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from training_cases import tiny_config

from stylegan2.__main__ import run
from stylegan2.formats import load_generator
from stylegan2.images import save_png
from stylegan2.tools.generate import PAGE, PIXELS, _page, generate_image

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module", params=[("none", 3), ("folders", 1), ("none", 4)], ids=str)
def checkpoint(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    classes, channels = request.param
    config = tiny_config({"classes": classes, "channels": channels})
    (folder / "tiny.yaml").write_text(config, encoding="utf-8")
    args = ["--config", str(folder / "tiny.yaml"), "--runs", str(folder), "--name", "run"]
    assert run("train", args, "train.py") == 0
    return folder / "run" / "checkpoints" / "last.ckpt"


def generate(checkpoint, out, *args):
    return run(
        "generate", ["--checkpoint", str(checkpoint), "--out", str(out), *map(str, args)], "generate.py"
    )


def test_a_seed_is_the_same_image_whatever_seeds_it_comes_with(checkpoint, tmp_path):
    options = ["--noise", "random", "--psi", 0.7]
    assert generate(checkpoint, tmp_path / "a", "--seeds", "0-4,42", *options) == 0
    assert generate(checkpoint, tmp_path / "b", "--seeds", "42,3", *options) == 0
    names = {path.name for path in (tmp_path / "b").glob("seed*.png")}
    assert {name[:8] for name in names} == {"seed0042", "seed0003"}
    for name in names:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_a_png_a_seed_and_a_grid(checkpoint, tmp_path):
    network, _ = load_generator(checkpoint)
    one = ["--classes", "0"] if network.num_classes else []
    assert generate(checkpoint, tmp_path, "--seeds", "0-5", "--grid", "3x2", "--scale", 2, *one) == 0
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names[0] == "grid.png" and [name[:8] for name in names[1:]] == [f"seed{i:04d}" for i in range(6)]
    grid, fourth = Image.open(tmp_path / "grid.png"), Image.open(tmp_path / names[5])
    assert grid.size == (48, 32)
    assert np.array_equal(np.asarray(grid.crop((16, 16, 32, 32))), np.asarray(fourth))
    assert fourth.mode == {1: "L", 3: "RGB", 4: "RGBA"}[network.img_channels]


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
        (["--seeds", "9" * 5000], "0-15,42"),
        (["--grid", "3"], "4x4"),
        (["--grid", "0x3"], "4x4"),
        (["--seeds", "0-99999", "--grid", "300x300", "--scale", "16"], "smaller grid"),
        (["--scale", "0"], "--scale"),
        (["--scale", "2000"], "--scale"),
        (["--psi", ".inf"], "--psi"),
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


def test_a_folder_that_cannot_be_written_to_is_refused_before_the_work(
    checkpoint, tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr("stylegan2.tools.generate.generate_image", None)
    (tmp_path / "file").write_text("mine", encoding="utf-8")
    for out in (tmp_path / "file", tmp_path / "file" / "below", tmp_path / "nul\0"):
        assert generate(checkpoint, out) == 2
        error = capsys.readouterr().err
        assert "--out" in error and "Traceback" not in error
    assert (tmp_path / "file").read_text(encoding="utf-8") == "mine"


def test_what_is_written_stays_when_the_disk_is_full(checkpoint, tmp_path, capsys, monkeypatch):
    def save(picture, path):
        if "seed0003" in path.name:
            raise OSError(28, "No space left on device")
        save_png(picture, path)

    monkeypatch.setattr("stylegan2.tools.generate.save_png", save)
    assert generate(checkpoint, tmp_path, "--seeds", "0-5") == 2
    error = capsys.readouterr().err
    assert "after 3 of" in error and "No space left" in error and "Traceback" not in error
    assert {path.name[:8] for path in tmp_path.iterdir()} == {f"seed{i:04d}" for i in range(3)}


def test_no_image_is_kept_for_the_grid(checkpoint, tmp_path, monkeypatch):
    """Memory is constant in the number of seeds: when one is made, no image before the last is alive."""
    images = []

    def tracked(*args):
        assert sum(image() is not None for image in images) <= 1
        image = generate_image(*args)
        images.append(weakref.ref(image))
        return image

    monkeypatch.setattr("stylegan2.tools.generate.generate_image", tracked)
    assert generate(checkpoint, tmp_path, "--seeds", "0-19") == 0
    assert len(images) % 20 == 0


def test_more_images_than_a_grid_holds_fill_several(checkpoint, tmp_path):
    network, _ = load_generator(checkpoint)
    one = ["--classes", "0"] if network.num_classes else []
    assert generate(checkpoint, tmp_path, "--seeds", "0-6", "--grid", "2x2", *one) == 0
    grids = [Image.open(tmp_path / f"grid-{k}.png") for k in (1, 2)]
    assert [grid.size for grid in grids] == [(256, 256), (256, 256)]  # small images are enlarged
    white = np.asarray(grids[1])[128:, 128:]
    assert (white == 255).all() and not (tmp_path / "grid.png").exists()
    assert generate(checkpoint, tmp_path / "b", "--seeds", "0-6", "--grid", "none", *one) == 0
    assert len(list((tmp_path / "b").iterdir())) == 7


@pytest.mark.parametrize(
    "count,labels,side,page",
    [
        (16, 1, 128, (4, 4)),
        (17, 1, 128, (5, 4)),
        (2, 1, 128, (2, 1)),
        (10**9, 1, 128, (16, 16)),
        (10**9, 1, 1024, (8, 8)),
        (16 * 9, 9, 128, (16, 9)),  # a row of its own for each class
        (4 * 9, 9, 128, (8, 5)),  # or several classes in a row
        (100, 100, 128, (10, 10)),
        (200, 2, 128, (15, 14)),
    ],
)
def test_the_size_of_a_grid_is_bounded_and_its_rows_are_classes_where_they_can(count, labels, side, page):
    assert _page(None, count, labels, (side, side)) == page
    assert page[0] * page[1] <= PAGE and page[0] * page[1] * side**2 <= PIXELS


def test_wide_images_are_laid_out_in_a_grid_that_is_about_square():
    assert _page(None, 16, 1, (64, 1024)) == (1, 16)
    assert _page(None, 16, 1, (64, 256)) == (2, 8)


def test_images_that_the_disk_has_no_room_for_are_refused_before_the_first_one(
    checkpoint, tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=4_000_000))
    assert generate(checkpoint, tmp_path / "few", "--seeds", "0-5") == 0
    assert generate(checkpoint, tmp_path / "many", "--seeds", "0-99999") == 2
    error = capsys.readouterr().err
    assert "0,000 images" in error and "4 MB free" in error and re.search(r"about [\d.,]+ (GB|MB)", error)
    assert list((tmp_path / "many").iterdir()) == []
