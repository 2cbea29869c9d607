"""Blending: the layers are those of the two networks, and networks that do not fit are refused."""

import pytest
import torch
from explore_cases import save_network, tiny_network

from stylegan2.__main__ import run
from stylegan2.explore import blend, kinship
from stylegan2.formats import formats, load_generator


@pytest.mark.parametrize("at", [8, 16])
def test_every_block_is_one_of_the_two_networks(at):
    a, b = tiny_network(), tiny_network(seed=1)
    blended = blend(a, b, at).state_dict()
    for name, value in a.state_dict().items():
        resolution = int(name.split(".")[1][1:]) if name.startswith("synthesis.b") else 0
        assert torch.equal(value, a.state_dict()[name])
        assert torch.equal(blended[name], (b if resolution >= at else a).state_dict()[name])


def test_kinship_is_near_0_for_strangers_and_near_1_for_children():
    a = tiny_network(channel_max=64, channel_base=1024)
    child = tiny_network(channel_max=64, channel_base=1024)
    with torch.no_grad():
        for parameter in child.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
    assert abs(kinship(a, tiny_network(seed=1, channel_max=64, channel_base=1024))) < 0.1
    assert kinship(a, child) > 0.9


@pytest.mark.parametrize("end", [".ckpt", ".safetensors"])
def test_the_command_writes_a_network_that_loads(tmp_path, capsys, end):
    a, b = tiny_network(3), tiny_network(3, seed=1)
    files = [str(save_network(network, tmp_path / f"{k}.ckpt")) for k, network in enumerate((a, b))]
    out = tmp_path / f"blended{end}"
    with pytest.warns(UserWarning, match="unrelated"):
        assert run("blend", [*files, "--at", "8", "--out", str(out)], "stylegan2 blend") == 0
    network, about = load_generator(out)
    assert about["class_names"] == ["cats", "dogs", "owls"]
    z, c = torch.randn(2, 16), torch.eye(3)[:2]
    assert torch.equal(network(z, c, noise="const"), blend(a, b, 8).eval()(z, c, noise="const"))


def test_different_networks_are_refused_with_the_fields_that_differ(tmp_path, capsys):
    files = []
    for name, network in (("a", tiny_network()), ("b", tiny_network(3, channel_max=4))):
        files.append(str(save_network(network, tmp_path / f"{name}.ckpt")))
    before = (tmp_path / "a.ckpt").read_bytes()
    cases = {
        ("--at", "8"): ("num_classes (0 and 3)", "channel_max (8 and 4)"),
        ("--at", "8", "--out", files[0]): ("another file",),
        ("--at", "8", "--out", "x.pkl"): (".safetensors",),
    }
    for options, words in cases.items():
        assert run("blend", [*files, "--out", str(tmp_path / "c.ckpt"), *options], "stylegan2 blend") == 2
        error = capsys.readouterr().err
        assert all(word in error for word in words)
    assert run("blend", [files[0], files[0], "--at", "7", "--out", str(tmp_path / "c.ckpt")], "blend") == 2
    assert "8, 16" in capsys.readouterr().err
    assert not (tmp_path / "c.ckpt").exists() and (tmp_path / "a.ckpt").read_bytes() == before
    assert formats["native"].suffix == ".ckpt"
