"""Labels of generated images: all pairs of seeds and classes, by number and name; vectors; truncation."""

import re
import shlex
from itertools import chain

import numpy as np
import pytest
import torch
from image_sets import noise, write_labels
from PIL import Image
from training_cases import tiny_config

from stylegan2.__main__ import run
from stylegan2.errors import InputError
from stylegan2.files import class_table
from stylegan2.formats import load_generator, native
from stylegan2.images import to_picture
from stylegan2.networks.config import DiscriminatorConfig
from stylegan2.networks.generator import Generator
from stylegan2.tools.generate import generate_image
from stylegan2.tools.labels import parse_classes, parse_numbers, read_labels

NAMES = ["cats", "dogs/big", "10"]


def make(path, names, width=3):
    """A checkpoint of a conditional network. Names: of its classes, none for vectors."""
    torch.manual_seed(0)
    g = Generator(8, num_classes=width, z_dim=8, w_dim=8, mapping_layers=2, channel_base=64)
    z, c = torch.randn(3000, 8), torch.eye(width).repeat(1000, 1)
    g.mapping.w_avg.copy_(g.mapping(z, c, update_w_avg=False)[:, 0].detach().mean(0))
    state = native.plain(
        g.config, DiscriminatorConfig(resolution=8, num_classes=width, channel_base=64), g.scalings
    )
    state |= {"samples_from": "generator_ema", "images": 0, "iteration": 0, "class_names": names}
    weights = {f"generator_ema.{name}": value for name, value in g.state_dict().items()}
    torch.save({"state_dict": weights, native.KEY: state}, path)
    return path


@pytest.fixture(scope="module")
def classes(tmp_path_factory):
    return make(tmp_path_factory.mktemp("classes") / "last.ckpt", NAMES)


@pytest.fixture(scope="module")
def vectors(tmp_path_factory):
    return make(tmp_path_factory.mktemp("vectors") / "last.ckpt", [])


def generate(checkpoint, out, *args):
    return run(
        "generate", ["--checkpoint", str(checkpoint), "--out", str(out), *map(str, args)], "generate.py"
    )


def test_every_seed_with_every_class_has_a_file_that_says_so(classes, tmp_path, capsys):
    assert generate(classes, tmp_path, "--seeds", "7,7,7,8", "--classes", "0-2") == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "grid.png",
        *(f"seed000{seed}-class{name}.png" for seed in (7, 8) for name in ("0-cats", "1-dogs_big", "2-10")),
    ]
    out = capsys.readouterr().out
    assert "Classes: 0 cats, 1 dogs/big, 2 10\n" in out and "6 images" in out
    images = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert len(set(images.values())) == len(images)
    network, _ = load_generator(classes)
    expected = to_picture(generate_image(network, 8, torch.eye(3)[1]))
    assert np.array_equal(np.asarray(Image.open(tmp_path / "seed0008-class1-dogs_big.png")), expected)


def test_the_rows_of_a_grid_are_classes(classes, tmp_path):
    assert generate(classes, tmp_path, "--seeds", "0-3", "--scale", 1) == 0
    grid = np.asarray(Image.open(tmp_path / "grid.png"))
    assert grid.shape == (24, 32, 3)
    image = np.asarray(Image.open(tmp_path / "seed0002-class1-dogs_big.png"))
    assert np.array_equal(grid[8:16, 16:24], image)


def test_classes_are_chosen_by_name_too(classes, tmp_path):
    assert generate(classes, tmp_path, "--seeds", "0", "--classes", "10,cats") == 0
    names = sorted(path.name for path in tmp_path.glob("seed*"))
    assert names == ["seed0000-class0-cats.png", "seed0000-class2-10.png"]


@pytest.mark.parametrize("psi,center", [(0.5, "class"), (0.5, "global"), (1, "class")])
def test_truncation_goes_towards_the_mean_of_the_class_or_of_all(classes, tmp_path, psi, center):
    args = ["--seeds", "4", "--classes", "2", "--psi", psi, "--center", center]
    assert generate(classes, tmp_path, *args) == 0
    network, _ = load_generator(classes)
    c = torch.eye(3)[2:]
    w_mean = network.mapping.w_mean(c) if center == "class" else None
    z = torch.from_numpy(np.random.RandomState(4).randn(1, 8)).float()
    with torch.no_grad():
        expected = network(z, c, psi=psi, noise="const", w_mean=w_mean)[0]
    found = np.asarray(Image.open(tmp_path / "seed0004-class2-10.png"), dtype=int)
    assert np.abs(found - np.asarray(to_picture(expected), dtype=int)).max() <= 1


def test_the_fully_truncated_image_of_a_class_is_its_own_mean_image(classes, tmp_path):
    for center, different in (("class", 3), ("global", 1)):
        out = tmp_path / center
        assert generate(classes, out, "--seeds", "0", "--psi", 0, "--center", center) == 0
        assert len({path.read_bytes() for path in out.glob("seed*")}) == different


def test_a_label_vector_is_given_as_numbers(vectors, tmp_path):
    assert generate(vectors, tmp_path, "--seeds", "3", "--label", "0.3,0.7,0.25") == 0
    network, _ = load_generator(vectors)
    expected = to_picture(generate_image(network, 3, torch.tensor([0.3, 0.7, 0.25])))
    assert np.array_equal(np.asarray(Image.open(tmp_path / "seed0003-label0.3,0.7,0.25.png")), expected)


@pytest.mark.filterwarnings("ignore")
def test_the_command_that_a_run_with_vectors_prints_at_its_end_works(tmp_path, capsys):
    for k in range(8):
        noise(tmp_path / f"data/{k}.png", 8, k)
    write_labels(tmp_path / "data", [[f"{k}.png", [k / 10, -0.5, 1e-3]] for k in range(8)])
    data = {"path": str(tmp_path / "data"), "classes": "labels"}
    config = tiny_config(data, runs=str(tmp_path / "runs"), name="tiny", kimg=0.008)
    (tmp_path / "tiny.yaml").write_text(config, encoding="utf-8")
    assert run("train", ["--config", str(tmp_path / "tiny.yaml")], "train.py") == 0
    (command,) = re.findall(r"^Generate .* generate (.*)$", capsys.readouterr().out, re.M)
    assert run("generate", shlex.split(command), "generate.py") == 0
    generated = tmp_path / "runs" / "tiny" / "generated"
    assert len(list(generated.glob("seed*-label0,-0.5,0.001.png"))) == 16


def test_a_label_may_mix_classes_and_begin_with_a_minus(classes, tmp_path):
    assert generate(classes, tmp_path, "--seeds", "3", "--label=-0.5,0.5,1") == 0
    assert (tmp_path / "seed0003-label-0.5,0.5,1.png").is_file()


@pytest.mark.parametrize(
    "args,words",
    [
        (["--classes", "cast"], "Did you mean cats?"),
        (["--classes", "3"], "below 3"),
        (["--classes", "0-4000000000"], "below 3"),
        (["--classes", "elephant"], "dogs/big"),
        (["--classes", ""], "--classes"),
        (["--label", "0.3,0.7"], "3 numbers"),
        (["--label", "a,b,c"], "3 numbers"),
        (["--label", "0,nan,1"], "3 numbers"),
        (["--label", "0,0,1", "--classes", "1"], "both"),
    ],
)
def test_labels_that_the_network_does_not_have_are_refused(classes, tmp_path, capsys, args, words):
    assert generate(classes, tmp_path / "out", *args) == 2
    error = capsys.readouterr().err
    assert words in error and "Traceback" not in error
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("args", [[], ["--classes", "1"]])
def test_a_network_of_vectors_asks_for_one(vectors, tmp_path, capsys, args):
    assert generate(vectors, tmp_path / "out", *args) == 2
    assert "--label" in capsys.readouterr().err and not (tmp_path / "out").exists()


def test_a_network_without_labels_takes_neither():
    assert len(read_labels(0, [], None, None)) == 1
    for options in (("0", None), (None, "0.5")):
        with pytest.raises(InputError, match="has no classes and no labels"):
            read_labels(0, [], *options)


def test_a_file_that_does_not_name_its_classes_has_them_by_number():
    labels = read_labels(11, None, "9-10", None)
    assert [label.suffix for label in labels] == ["-class09", "-class10"]
    assert len(read_labels(11, None, None, None)) == 11


def test_names_that_are_numbers_are_said_once():
    labels = read_labels(3, ["0", "1", "10"], None, None)
    assert [label.suffix for label in labels] == ["-class0", "-class1", "-class2-10"]


def test_a_name_that_is_the_number_of_another_class_is_refused_with_both_ways_out():
    names = ["1", "2", "3"]
    with pytest.raises(InputError, match="Write 0-0 for the name, or 1-1 for the number"):
        parse_classes("1", 3, names)
    assert parse_classes("0-0,1-1", 3, names) == [0, 1]
    assert parse_classes("0-1,1", 3, ["0", "1", "2"]) == [0, 1]


def test_a_name_with_a_comma_is_a_name():
    assert parse_classes("cats, big", 2, ["dogs", "cats, big"]) == [1]


def test_names_reach_the_terminal_without_control_characters():
    assert class_table(["a\x1b[31m", "é"]) == "0 a\\x1b[31m, 1 é"
    assert class_table(["x"] * 1000).replace("\n", " ").endswith("199 x, ... and 800 more in this order")


@pytest.mark.parametrize(
    "text,numbers",
    [
        ("0-3,42", [0, 1, 2, 3, 42]),
        ("7,7,7", [7]),
        ("5,0-9,3-12", [5, 0, 1, 2, 3, 4, 6, 7, 8, 9, 10, 11, 12]),
    ],
)
def test_numbers_and_ranges_count_once_in_the_order_given(text, numbers):
    assert list(chain(*parse_numbers(text, "--seeds"))) == numbers


def test_four_billion_seeds_take_no_memory():
    assert sum(map(len, parse_numbers("0-4294967295", "--seeds"))) == 2**32
