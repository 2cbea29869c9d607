"""docs/why.md says what a measurement gives: a small part of it made again."""

import json
import re
import shlex
from pathlib import Path

import pytest
import torch

from stylegan2 import Discriminator, Generator, Scalings
from stylegan2.probing.measure import blocks
from stylegan2.tools.probe import main
from stylegan2.training.config import TrainingConfig
from stylegan2.training.module import StyleGAN2

WHY = (Path(__file__).parent.parent / "docs" / "why.md").read_text(encoding="utf-8")


def documented(start):
    """The measured number of the table row that starts so."""
    row = next(line for line in WHY.splitlines() if line.startswith(f"| {start}"))
    return float(re.search(r"\d+(\.\d+)?", row.split("|")[3])[0])


def models(**scalings):
    for seed in range(3):
        torch.manual_seed(seed)
        shared = {"channel_base": 1024, "channel_max": 64, "scalings": Scalings(**scalings)}
        g = Generator(32, z_dim=128, w_dim=128, mapping_layers=2, **shared)
        yield StyleGAN2(g, Discriminator(32, **shared), TrainingConfig(scalings=shared["scalings"]))


def mean_gain(network, **scalings):
    gains = [
        gain
        for model in models(**scalings)
        for name, gain in blocks.block_gains(getattr(model, network), initial=True).items()
        if re.search(r"b\d+$", name) or network == "discriminator"
    ]
    return sum(gains) / len(gains)


@pytest.mark.slow
def test_the_residual_gain_measures_as_documented():
    off = mean_gain("discriminator", residual_gain=1.0)
    on = mean_gain("discriminator")
    assert off == pytest.approx(documented("gain of a block of D, off"), rel=0.05)
    assert on == pytest.approx(documented("gain of a block of D, on"), rel=0.05)


@pytest.mark.slow
def test_the_up_sampling_gain_measures_as_documented():
    model = next(models(upsample_gain=0.25))
    gains = blocks.filter_gains(model.generator, model.discriminator)
    ups = [gain for name, gain in gains.items() if name.startswith("G.")]
    assert ups and all(gain == pytest.approx(0.25, abs=1e-5) for gain in ups)
    assert "0.25 and 0.25" in WHY


@pytest.mark.slow
def test_thirty_two_iterations_of_training_measure_as_documented(tmp_path):
    """The documented command, with one of its variants; 15 % is what rounding can make of 32 iterations."""
    variant = "path_length.normalize_by_image_size=false"
    command = re.search(r"^stylegan2 probe (?:.*\\\n)*.*--iterations 32(?:.*\\\n)*.*", WHY, re.M)[0]
    args = shlex.split(command.replace("\\\n", " "))[2:]
    args[args.index("--variants") + 1], args[args.index("--out") + 1] = variant, str(tmp_path)
    main(args)
    found = json.loads((tmp_path / "probe.json").read_text(encoding="utf-8"))["variants"]
    assert [v["name"] for v in found] == ["as configured", variant]
    for measured in found:
        row = next(line for line in WHY.splitlines() if line.startswith(f"| {measured['name']} |"))
        told = [float(cell) for cell in row.split("|")[2:-1]]
        numbers = [
            measured[state]["numbers"][key]
            for key in ("path_length", "image_std_z")
            for state in ("start", "after")
        ]
        assert numbers == pytest.approx(told, rel=0.15), measured["name"]
