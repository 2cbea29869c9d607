"""Figures: what is stored with them, which are compared, and tables that do not mix unlike ones."""

import math
from dataclasses import fields, replace

import pytest
from figure_cases import ONE

from stylegan2.metrics.figures import KEY, Figure, best, merged, read_figures, tables, write_figures

OTHER = {"column": "kid", "images": 2000, "reals": 400, "reference": "00" * 32, "source": "jpg"}
OTHER |= {"resize": "none", "features": "Random", "weights": "11" * 32}


def test_a_file_holds_every_field_exactly(tmp_path):
    path = tmp_path / "figures.csv"
    assert read_figures(path) == []
    figures = [ONE, replace(ONE, title='commas, "quotes" and é', value=1 / 3, kimg=2.0)]
    write_figures(path, figures)
    assert read_figures(path) == figures
    write_figures(path, [replace(ONE, spread=math.nan)])
    (found,) = read_figures(path)
    assert math.isnan(found.spread) and replace(found, spread=0.25) == ONE


def test_rows_of_another_version_are_left_out(tmp_path):
    path = tmp_path / "figures.csv"
    write_figures(path, [ONE])
    head, row = path.read_text(encoding="utf-8").splitlines()
    path.write_text("\n".join([head, row.replace("1000", "many"), row, "1,2"]) + "\n", encoding="utf-8")
    assert read_figures(path) == [ONE]
    path.write_text(f"kimg,value\n1,2\n{row}\n", encoding="utf-8")
    assert read_figures(path) == []


@pytest.mark.parametrize("name", [field.name for field in fields(Figure)])
def test_the_key_is_all_that_a_comparison_needs_and_nothing_else(name):
    if name in OTHER:
        assert name in KEY and replace(ONE, **{name: OTHER[name]}).key != ONE.key
    else:
        assert name not in KEY and replace(ONE, **{name: 7}).key == ONE.key


def test_a_new_figure_replaces_only_the_same_measurement():
    new = replace(ONE, value=1.0)
    for other in (
        replace(ONE, seed=4),
        replace(ONE, images=7),
        replace(ONE, kimg=2),
        replace(ONE, repeats=9),
    ):
        assert merged([ONE, other], [new]) == [other, new]


def test_best_is_lowest_or_highest_and_finite():
    values = [replace(ONE, value=v) for v in (2.0, math.nan, 1.0, math.inf, 3.0, -math.inf)]
    assert best(values).value == 1.0
    assert best([replace(f, better="higher") for f in values]).value == 3.0
    assert best([]) is None and best(values[1:2]) is None


def test_a_table_says_what_its_figures_were_measured_on_and_marks_the_best():
    second = replace(ONE, checkpoint="b.ckpt", kimg=2.0, value=3.0, spread=math.nan)
    text = tables([ONE, replace(ONE, column="kid", title="KID", value=-0.001, spread=math.nan), second])
    lines = text.splitlines()
    assert lines[0].split() == ["checkpoint", "kimg", "(1)", "(2)"]
    assert lines[1].split() == [ONE.checkpoint, "1", "12.346", "±", "0.25", "-0.001", "*"]
    assert lines[2].split() == ["b.ckpt", "2", "3", "*"]
    for part in ("(1) FID (lower is better)", "Inception-v3: weights cdcdcdcd, images by Lanczos to 32"):
        assert part in lines
    assert "1,000 generated images (psi 1), 500 real images (png, pixels abababab), seed 3" in text
    assert "mean ± deviation of 2 repeats" in text and "cannot be compared" not in text


@pytest.mark.parametrize("name", ["images", "reals", "reference", "source"])
def test_figures_measured_on_other_images_stand_in_a_table_of_their_own(name):
    text = tables([ONE, replace(ONE, checkpoint="b.ckpt", **{name: OTHER[name]})])
    assert text.startswith("These are 2 tables") and "cannot be compared" in text
    assert text.count("checkpoint ") == 2


@pytest.mark.parametrize("name", ["resize", "features", "weights"])
def test_figures_of_other_features_stand_in_a_column_of_their_own(name):
    text = tables([ONE, replace(ONE, checkpoint="b.ckpt", **{name: OTHER[name]})])
    assert text.splitlines()[0].split() == ["checkpoint", "kimg", "(1)", "(2)"]
    assert text.count("is better)") == 2
