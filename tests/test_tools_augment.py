"""The sheet of augmentations: every transform has a row, the labels are true, and bad input is refused."""

import re

import pytest
import torch
from PIL import Image

from stylegan2.__main__ import main
from stylegan2.augment import pipeline
from stylegan2.augment.examples import examples
from stylegan2.augment.options import GROUPS, ADAOptions, Strengths
from stylegan2.tools.augment import CELL, COLUMNS, GAP, NAME, PROBABILITIES, TEXT, sheet, together, transforms

NAMES = [name for names in GROUPS.values() for name in names]


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_every_transform_has_a_row_in_which_it_changes_its_image(channels):
    images = torch.rand(COLUMNS + 1, channels, 16, 24) * 2 - 1
    rows = list(transforms(images, ADAOptions()))
    assert [row.name for row in rows] == [n for n in NAMES if channels > 1 or n not in ("hue", "saturation")]
    for row in rows:
        (_, first), *others = row.cells
        assert 1 <= len(others) <= COLUMNS
        assert all(picture.tobytes() != first.tobytes() for _, picture in others), row.name


def test_the_labels_are_the_parameters():
    for name in ("scale", "aniso", "contrast", "saturation"):
        for example in examples(name, Strengths(scale=0.3), torch.zeros(3, 64, 64)):
            factor, sigmas = re.fullmatch(r"×([\d.]+) \((.\d)σ\)", example.label).groups()
            strength = {"scale": 0.3, "aniso": 0.2, "contrast": 0.5, "saturation": 1}[name]
            assert 2 ** (float(sigmas.replace("−", "-")) * strength) == pytest.approx(
                float(factor), abs=0.006
            )
            assert float(example.parameters[name]) == pytest.approx(float(factor), abs=0.006)
    moved = examples("xint", Strengths(), torch.zeros(3, 64, 64))[1]
    image = torch.rand(1, 3, 64, 64)
    assert moved.label == "+8, 0 px"
    torch.testing.assert_close(pipeline.apply(image, moved.parameters)[..., 8:], image[..., :-8])
    quarter = examples("rotate", Strengths(rotate=0.5), torch.zeros(3, 64, 64))[-1]
    assert quarter.label == "+90°" and float(quarter.parameters["rotate"]) == pytest.approx(torch.pi / 2)


def test_the_transforms_act_together_with_each_probability():
    images = torch.rand(COLUMNS + 1, 3, 16, 16)
    first, *rows, diffaug = together(images, ADAOptions(groups=["color"]))
    assert [row.name for row in rows] == [f"p = {p:g}" for p in PROBABILITIES] and diffaug.name == "diffaug"
    changed = [
        sum(a[1].tobytes() != b[1].tobytes() for a, b in zip(row.cells, first.cells))
        for row in [*rows, diffaug]
    ]
    assert changed[-1] == COLUMNS + 1 and changed[-2] >= COLUMNS
    still = list(together(images, ADAOptions(groups=[])))
    assert still[1].cells[0][1].tobytes() == still[0].cells[0][1].tobytes()


def test_the_sheet_has_all_rows_at_one_scale():
    paper = sheet(torch.zeros(COLUMNS + 1, 3, 8, 8), ADAOptions())
    assert paper.size == (
        NAME + (COLUMNS + 1) * (CELL + GAP) + GAP,
        (len(NAMES) + 2 + len(PROBABILITIES)) * (TEXT + CELL + GAP) + GAP,
    )


def test_the_command_writes_a_png_of_the_users_images(tmp_path, capsys):
    for k in range(2):  # fewer than the sheet has columns
        Image.new("RGB", (20, 20), (200, 40 * k, 0)).save(tmp_path / f"{k}.png")
    out = tmp_path / "sheets" / "sheet.png"
    args = ["augment", "--data.path", str(tmp_path), "--data.resolution", "16", "--out", str(out)]
    assert main(args) == 2
    assert "existing folder" in capsys.readouterr().err
    out.parent.mkdir()
    assert main(args) == 0
    with Image.open(out) as picture:
        assert picture.size[0] > 1000 and len(picture.getcolors(1 << 24)) > 50
    assert [path.name for path in out.parent.iterdir()] == ["sheet.png"]
