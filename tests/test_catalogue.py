"""The catalogue of normalizations: its measurements agree with what is known, and its pages are complete."""

from pathlib import Path

import pytest
import torch

from stylegan2.__main__ import run
from stylegan2.catalogue.cost import cost
from stylegan2.catalogue.facts import FACTS
from stylegan2.catalogue.measure import Layer, images, measure
from stylegan2.networks.normalization import normalizations

PAGES = Path(__file__).parent.parent / "docs" / "normalizations"


def test_every_normalization_has_facts_a_committed_page_and_a_picture():
    assert set(FACTS) == set(normalizations)
    assert {page.stem for page in PAGES.glob("*.md")} == {*normalizations, "index", "choosing"}
    assert {picture.stem for picture in (PAGES / "masks").glob("*.png")} == set(normalizations)


def test_demodulation_keeps_samples_apart_contrast_alive_and_a_bright_pixel_local():
    m = measure("demodulation")
    assert m.others == m.far == 0 and not (m.samples or m.channels or m.pixels)
    assert m.contrast == pytest.approx(1, abs=0.05)
    assert (m.input_twice, m.weights_twice) == pytest.approx((2, 1), abs=1e-3)


def test_instance_normalization_loses_contrast_and_carries_a_bright_pixel_to_the_far_corner():
    m = measure("instance")
    assert m.others == 0 and m.far > 0.3 and abs(m.contrast) < 0.01
    assert m.pixels and not m.channels and not m.samples


def test_batch_normalization_couples_samples_by_the_amount_that_follows_from_its_variance():
    m, x = measure("batch"), images()
    before = x.square().mean(dim=(1, 2, 3))
    after = torch.cat([before[:1], 4 * before[1:]])
    expected = 1 - (before.mean() / after.mean()).sqrt()
    assert m.others == pytest.approx(expected.item(), abs=0.02)
    assert m.samples and m.pixels and not m.channels and m.contrast == pytest.approx(1, abs=0.05)


def test_time_and_memory_are_relative_to_demodulation():
    sizes = {"side": 32, "channels": 16, "batch": 2, "repeats": 3}
    same = cost("demodulation", torch.device("cpu"), **sizes)
    assert same["memory"] == 1 and same["time"] == pytest.approx(1, abs=0.5)
    assert cost("local_response", torch.device("cpu"), **sizes)["memory"] > 1.5


def test_a_map_of_one_pixel_becomes_zero_by_instance_normalization_and_keeps_its_size_by_pixel_normalization():
    assert measure("instance").map_1 == pytest.approx(0, abs=1e-5)
    assert measure("pixel").map_1 == pytest.approx(1, abs=1e-3)
    assert measure("pixel").batch_1 == pytest.approx(1, abs=1e-3)
    assert 0 < measure("pixel").float16 < 2e-3


def test_the_styles_of_the_measured_layer_of_the_generator_are_1():
    styles = Layer("instance", "generator").module.affine(torch.randn(2, 8))
    assert torch.equal(styles, torch.ones(2, 16))


def test_the_command_writes_pages_and_resumes_from_its_record(tmp_path):
    args = [
        "--out",
        str(tmp_path),
        "--names",
        "weight,none",
        "--side",
        "8",
        "--channels",
        "4",
        "--repeats",
        "1",
    ]
    args += ["--parts", "layer,cost,depth,pages"]
    assert run("normalizations", args, "stylegan2 normalizations") == 0
    pictures = {"none.png", "weight.png"}
    written = {"index.md", "choosing.md", "none.md", "weight.md", "measurements.json"} | pictures
    assert {p.name for p in tmp_path.rglob("*.*")} == written
    page = (tmp_path / "weight.md").read_text(encoding="utf-8")
    for text in ("arxiv.org/abs/1602.07868", ":pyobject: WeightNorm", "`parametrization.g`", "## Over depth"):
        assert text in page
    assert "## In training" not in page
    before = (tmp_path / "measurements.json").read_bytes()
    (tmp_path / "weight.md").unlink()
    assert run("normalizations", args, "stylegan2 normalizations") == 0
    assert (tmp_path / "measurements.json").read_bytes() == before
    assert (tmp_path / "weight.md").read_text(encoding="utf-8") == page


@pytest.mark.parametrize("wrong", [["--names", "wait"], ["--repeats", "0"], ["--device", "tpu"]])
def test_wrong_options_are_refused(wrong, tmp_path, capsys):
    args = ["--out", str(tmp_path), *wrong]
    assert run("normalizations", args, "stylegan2 normalizations") == 2
    assert wrong[1] in capsys.readouterr().err
