"""Folders and repositories of the hub: what is saved is what is loaded. No test here uses the network."""

import shutil
from pathlib import Path

import pytest
import torch

import stylegan2
from stylegan2 import Generator
from stylegan2.__main__ import main
from stylegan2.errors import InputError
from stylegan2.formats import Networks, formats, load

ROOT = Path(__file__).parent.parent
SMALL = {"z_dim": 8, "w_dim": 8, "channel_base": 128, "channel_max": 8, "mapping_layers": 2}


@pytest.fixture
def checkpoint(tmp_path):
    formats["native"].write(Networks(generator=Generator(16, **SMALL)), tmp_path / "g.ckpt")
    return tmp_path / "g.ckpt"


def test_what_is_saved_is_what_is_loaded(tmp_path):
    g = Generator(16, **SMALL)
    g.save_pretrained(tmp_path / "cats")
    again = Generator.from_pretrained(tmp_path / "cats")
    assert isinstance(again, Generator) and again.config == g.config
    assert all(torch.equal(value, g.state_dict()[name]) for name, value in again.state_dict().items())
    assert not any(parameter.requires_grad for parameter in again.parameters())


def test_torch_hub_loads_a_generator(checkpoint):
    g = torch.hub.load(str(ROOT), "generator", source="local", checkpoint=str(checkpoint))
    expected = load(checkpoint).generator
    z = torch.randn(2, 8)
    assert torch.equal(g(z, noise="const"), expected(z, noise="const"))


def test_push_and_pull_give_the_same_networks(checkpoint, tmp_path, monkeypatch, capsys):
    """A folder takes the place of the hub."""
    hub = pytest.importorskip("huggingface_hub")
    there = tmp_path / "hub"

    class Api:
        def create_repo(self, repository, private, exist_ok):
            assert private and exist_ok
            return f"address of {repository}"

        def upload_folder(self, repo_id, folder_path, commit_message):
            shutil.copytree(folder_path, there / repo_id)

    monkeypatch.setattr(hub, "HfApi", Api)
    monkeypatch.setattr(hub, "hf_hub_download", lambda name, file, revision: str(there / name / file))
    args = ["--checkpoint", str(checkpoint), "--repository", "user/cats", "--license", "MIT"]
    assert main(["push", *args]) == 0
    assert "address of user/cats" in capsys.readouterr().out
    assert "**License:** MIT" in (there / "user/cats/README.md").read_text(encoding="utf-8")
    assert main(["pull", "--repository", "user/cats", "--destination", str(tmp_path / "b.safetensors")]) == 0
    a, b = load(checkpoint).tensors(), load(tmp_path / "b.safetensors").tensors()
    assert a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def test_without_a_connection_it_says_so(monkeypatch, tmp_path):
    hub = pytest.importorskip("huggingface_hub")
    monkeypatch.setattr(hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(hub.constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(InputError, match="Without a connection"):
        stylegan2.from_pretrained("user/cats")


def test_a_name_that_is_none_is_refused():
    pytest.importorskip("huggingface_hub")
    with pytest.raises(InputError, match="HFValidationError"):
        stylegan2.from_pretrained("no such/folder/at all")
