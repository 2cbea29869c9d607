"""Every overlay of configs/normalizations/ as a user has it: train, resume, generate, and probe."""

from functools import lru_cache
from pathlib import Path

import pytest
import torch
from training_cases import tiny_config

from stylegan2.__main__ import main
from stylegan2.cli import CONFIGS
from stylegan2.formats.building import with_weights
from stylegan2.probing.measure.networks import probe_model
from stylegan2.tools.probe import Builder, make_probe_parser

OVERLAYS = sorted((CONFIGS / "normalizations").glob("*.yaml"))
DATA = {"path": "demo:smileys-emotion", "resolution": 16}
TINY = tiny_config(DATA, log_kimg=0.008, sample_kimg=0, snapshot_kimg=0, threads=1)

parser = lru_cache(make_probe_parser)


@pytest.mark.parametrize("overlay", OVERLAYS, ids=lambda path: path.stem)
def test_an_overlay_trains_through_both_penalties_and_its_numbers_are_finite(overlay: Path, tmp_path):
    tiny = tmp_path / "tiny.yaml"
    tiny.write_text(TINY, encoding="utf-8")
    penalties = ["--model.r1.every", "1", "--model.path_length.every", "1"]
    configs = ["--config", str(tiny), "--config", str(overlay), "--out", str(tmp_path)]
    builder = Builder(parser(), [*configs, *penalties, "--iterations", "2"])
    model = builder.build({}, 0)
    before = [p.detach().clone() for p in model.parameters()]
    assert builder.train(model) is None
    assert model.iteration == 2
    assert any(not torch.equal(p, q) for p, q in zip(model.parameters(), before))
    assert all(p.isfinite().all() for p in model.state_dict().values())
    probed = probe_model(model, *builder.batch(model))
    assert probed.numbers and probed.blocks and probed.iteration == 2
    with torch.no_grad():
        images = model.sampling_generator(torch.randn(2, 8))
    assert images.shape == (2, 3, 16, 16) and images.isfinite().all()
    for network in (model.generator, model.discriminator):
        weights = network.state_dict()
        again = with_weights(type(network), network.config, network.scalings, weights).state_dict()
        assert again.keys() == weights.keys() and all(
            torch.equal(again[key], weights[key]) for key in weights
        )


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("overlay", OVERLAYS, ids=lambda path: path.stem)
def test_an_overlay_trains_resumes_generates_and_is_probed(overlay: Path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("tiny.yaml").write_text(TINY, encoding="utf-8")
    options = ["--config", "tiny.yaml", "--config", str(overlay), "--runs", "runs", "--name", "a"]
    assert main(["train", *options]) == 0
    resumed = ["--config", "runs/a/config.yaml", "--ckpt_path", "last", "--kimg", "0.024"]
    assert main(["train", *resumed]) == 0
    checkpoint = "runs/a/checkpoints/last.ckpt"
    state = torch.load(checkpoint, weights_only=True)
    assert state["stylegan2"]["images"] == 24
    assert all(tensor.isfinite().all() for tensor in state["state_dict"].values())
    assert main(["generate", "--checkpoint", checkpoint, "--seeds", "0,1", "--out", "images"]) == 0
    assert len(list(Path("images").rglob("*.png"))) >= 2
    probed = ["--checkpoint", checkpoint, "--variants", "none", "--theory_seeds", "0", "--out", "probed"]
    assert main(["probe", *probed]) in (0, 1)  # 1: it found a fault
    assert Path("probed/probe.md").is_file()
