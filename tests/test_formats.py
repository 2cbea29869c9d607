"""Files of the version before, and others': what is known is read, the rest is refused by name."""

import shutil

import numpy as np
import pytest
import torch
from conftest import GOLDEN, load_golden
from PIL import Image

from stylegan2.__main__ import run
from stylegan2.errors import InputError
from stylegan2.formats import load_generator, native
from stylegan2.images import to_picture
from stylegan2.tools.generate import generate_image

OLD = GOLDEN / "v0.1"
pytestmark = pytest.mark.filterwarnings("ignore")


def test_a_checkpoint_of_version_0_1_gives_the_image_it_gave_then():
    network, state = load_generator(OLD / "last.ckpt")
    assert (state["images"], state["iteration"]) == (16, 4)
    assert network.scalings.clamp == "auto"
    picture = to_picture(generate_image(network, 3, torch.zeros(0)))
    before = np.asarray(Image.open(OLD / "seed0003.png"), dtype=int)
    assert np.abs(np.asarray(picture, dtype=int) - before).max() <= 1  # a pixel may round the other way


def test_a_run_of_version_0_1_goes_on_with_its_own_configuration(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "runs" / "v0.1"
    (folder / "checkpoints").mkdir(parents=True)
    shutil.copy(OLD / "last.ckpt", folder / "checkpoints")
    shutil.copy(OLD / "config.yaml", folder)
    args = ["--config", str(folder / "config.yaml"), "--ckpt_path", "last", "--kimg", "0.024"]
    assert run("train", args, "train.py") == 0
    state = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)
    assert state["stylegan2"]["images"] == 24
    assert "generator_ema.synthesis.b4.const" in state["state_dict"]
    assert "clamp: auto" in (folder / "config.yaml").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "clamp,blocks,now", [(256.0, "low_precision", "auto"), (0.5, "all", 0.5), (None, "low_precision", None)]
)
def test_the_clamp_of_version_0_1_keeps_its_meaning(clamp, blocks, now):
    assert native.upgraded_clamp(clamp, blocks) == now


def test_a_clamp_that_only_version_0_1_could_have_is_refused():
    with pytest.raises(InputError, match="low-precision blocks"):
        native.upgraded_clamp(100.0, "low_precision")


def test_generate_takes_a_state_dictionary_with_the_official_names(tmp_path):
    golden = load_golden("net_g_skip_16", dtype=torch.float32)
    torch.save(golden.weights(), tmp_path / "g.pt")
    args = ["--checkpoint", str(tmp_path / "g.pt"), "--seeds", "5", "--out", str(tmp_path / "out")]
    assert run("generate", args, "generate.py") == 0
    network, _ = load_generator(tmp_path / "g.pt")
    expected = to_picture(generate_image(network, 5, torch.zeros(0)))
    assert np.array_equal(np.asarray(Image.open(tmp_path / "out" / "seed0005.png")), np.asarray(expected))


def test_a_file_of_no_known_format_is_refused_with_those_known(tmp_path):
    torch.save({"weight": torch.zeros(2)}, tmp_path / "other.pt")
    with pytest.raises(InputError, match="official names.*training wrote|training wrote.*official names"):
        load_generator(tmp_path / "other.pt")
