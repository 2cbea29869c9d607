"""Sheets: every cell is the image that its row and column say."""

import numpy as np
import pytest
import torch
from explore_cases import save_network, tiny_network
from PIL import Image

from stylegan2.__main__ import run
from stylegan2.explore import image_of, sheets
from stylegan2.explore.tables import table
from stylegan2.images import to_picture
from stylegan2.tools.generate import generate_image

COLORS = ["red", "lime", "blue", "yellow", "cyan", "black"]


@pytest.fixture
def cells(monkeypatch):
    """The pictures of the last sheet, by row and column."""
    found = {}

    def keep(pictures, rows, columns, corner=""):
        for number, picture in enumerate(pictures):
            found[divmod(number, len(columns))] = picture and np.asarray(picture).astype(int)
        found["names"] = rows, columns
        return Image.new("RGB", (1, 1))

    monkeypatch.setattr(sheets, "table", keep)
    return found


def image(network, seed, label=None, psi=1.0):
    label = torch.zeros(network.num_classes) if label is None else label
    w_mean = network.mapping.w_mean(label[None]) if network.num_classes else None
    return np.asarray(to_picture(generate_image(network, seed, label, psi, w_mean=w_mean))).astype(int)


def test_a_table_has_its_pictures_in_rows_and_columns_with_names():
    pictures = [Image.new("RGB", (8, 8), color) for color in COLORS]
    paper = np.asarray(table(pictures, ["first row", "second"], ["a", "b", "c"], "corner"))
    middles = {}
    for color, picture in zip(COLORS, pictures):
        ys, xs = np.nonzero((paper == np.asarray(picture)[0, 0]).all(axis=2))
        if color != "black":  # as letters are
            assert len(xs) == 96 * 96
            middles[color] = xs.mean(), ys.mean()
    assert middles["red"][1] == middles["lime"][1] == middles["blue"][1] < middles["yellow"][1]
    assert middles["red"][0] == middles["yellow"][0] < middles["lime"][0] == middles["cyan"][0]
    assert (paper[: int(middles["red"][1]) - 50] < 128).any() and (paper[:, :20] < 255).any()


def test_mixing_takes_the_named_layers_from_the_column(cells):
    network = tiny_network()
    look = sheets.Look(network=network)
    sheets.mixing(look, [3, 4], [5, 6], range(0, 3))
    assert np.abs(cells[1, 0] - image(network, 3)).max() <= 1
    assert np.abs(cells[0, 2] - image(network, 6)).max() <= 1 and cells[0, 0] is None
    ws = look.ws(4).clone()
    ws[:3] = look.ws(5)[:3]
    assert np.array_equal(cells[2, 1], np.asarray(to_picture(image_of(network, ws))))
    sheets.mixing(look, [3, 4], [5, 6], range(6))
    assert np.array_equal(cells[1, 2], cells[0, 2])


def test_truncation_shows_every_psi(cells):
    network = tiny_network()
    sheets.truncation(sheets.Look(network=network), [0, 1], [-1.0, 0.0, 0.5])
    for column, psi in enumerate((-1.0, 0.0, 0.5)):
        assert np.abs(cells[1, column] - image(network, 1, psi=psi)).max() <= 1
    assert np.abs(cells[0, 1] - cells[1, 1]).max() <= 1


def test_the_deviation_of_noise_is_zero_without_noise_and_not_with_it(cells):
    network = tiny_network()
    sheets.noises(sheets.Look(network=network), [0])
    assert cells[0, 6].max() == 255 and cells[0, 6].std() > 0
    assert np.abs(cells[0, 2] - cells[0, 3]).max() > 0
    assert "0 " in cells["names"][0][0] and not cells["names"][0][0].endswith("to 0)")
    for name, parameter in network.named_parameters():
        if name.endswith("noise_strength"):
            parameter.zero_()
    sheets.noises(sheets.Look(network=network), [0])
    assert cells[0, 6].max() == 0 and np.array_equal(cells[0, 0], cells[0, 4])


def test_a_sheet_of_layers_goes_from_one_seed_to_the_other(cells):
    network = tiny_network()
    sheets.layers(sheets.Look(network=network), [0, 1], [7])
    assert np.abs(cells[1, 0] - image(network, 1)).max() <= 1
    assert np.abs(cells[1, 7] - image(network, 7)).max() <= 1
    assert all(np.abs(cells[0, k] - cells[0, 0]).max() > 0 for k in range(1, 7))


def test_classes_are_truncated_towards_their_own_mean(cells):
    network = tiny_network(3)
    labels = [(str(k), torch.eye(3)[k]) for k in range(3)]
    sheets.classes(sheets.Look(network=network, psi=0.5), [0, 1], labels)
    for k in range(3):
        assert np.abs(cells[1, k] - image(network, 1, torch.eye(3)[k], 0.5)).max() <= 1


@pytest.mark.parametrize("kind", ["mixing", "truncation", "noise", "layers", "classes"])
def test_every_kind_is_written(tmp_path, kind, capsys):
    checkpoint = save_network(tiny_network(3), tmp_path / "n.ckpt")
    args = [
        "--checkpoint",
        str(checkpoint),
        "--rows",
        "0-1",
        "--columns",
        "2-3",
        "--out",
        str(tmp_path / "s.png"),
    ]
    psi = [] if kind == "truncation" else ["--psi", "0.7"]
    assert run("sheet", [*args, "--kind", kind, "--centers", "2", *psi], "stylegan2 sheet") == 0
    with Image.open(tmp_path / "s.png") as picture:
        assert f"{picture.width}×{picture.height} pixels" in capsys.readouterr().out


@pytest.mark.parametrize(
    "args,words",
    [
        (["--kind", "classes"], "without"),
        (["--kind", "noise", "--psi", "-1..1"], "--psi"),
        (["--kind", "mixing", "--layers", "2-8"], "0 to 5"),
        (["--kind", "truncation", "--steps", "1"], "--steps"),
        (["--kind", "mixing", "--rows", "0-999", "--columns", "0-999"], "Choose fewer"),
        (["--kind", "mixing", "--out", "sheet.jpg"], ".png"),
        (["--kind", "mixing", "--edit", "a=1"], "directions.safetensors"),
    ],
)
def test_bad_options_end_with_status_2_and_write_nothing(tmp_path, capsys, monkeypatch, args, words):
    checkpoint = save_network(tiny_network(), tmp_path / "n.ckpt")
    monkeypatch.chdir(tmp_path)
    assert run("sheet", ["--checkpoint", str(checkpoint), *args], "stylegan2 sheet") == 2
    error = capsys.readouterr().err
    assert words in error and "Traceback" not in error
    assert [path.name for path in tmp_path.iterdir()] == ["n.ckpt"]
