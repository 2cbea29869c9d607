"""Every overlay of configs/normalizations/ as a user has it: train, resume, generate, and probe."""

from pathlib import Path

import pytest
import torch
from training_cases import tiny_config

from stylegan2.__main__ import main
from stylegan2.cli import CONFIGS

OVERLAYS = sorted((CONFIGS / "normalizations").glob("*.yaml"))
DATA = {"path": "demo:smileys-emotion", "resolution": 16}
TINY = tiny_config(DATA, log_kimg=0.008, sample_kimg=0, snapshot_kimg=0, threads=1)


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
