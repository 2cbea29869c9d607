"""Checkpoints of rosinality/stylegan2-pytorch against what that program computes, and back bit by bit."""

import argparse

import pytest
import torch
from conftest import load_golden

from stylegan2 import Discriminator, Generator, Scalings
from stylegan2.errors import InputError
from stylegan2.formats import Networks, formats, load

SIZES = [16, 32]


def write(path, size, dtype=torch.float64, latent_avg=True, legacy=False, **more):
    """A file of that program with the golden weights, and the golden cases."""
    g, d = (load_golden(f"rosinality_{kind}_{size}", dtype=dtype) for kind in "gd")
    contents = {"g_ema": g.weights(), "g": g.weights(), "d": d.weights(), **more}
    if latent_avg:
        contents["latent_avg"] = g["truncation_latent"]
    torch.save(contents, path, _use_new_zipfile_serialization=not legacy)
    return g, d


def check(case, name, value, tolerance):
    b = case[name]
    assert (value - b).abs().max() <= tolerance * b.abs().max()


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("size", SIZES)
@torch.no_grad()
def test_the_networks_give_what_that_program_gives(size, legacy, tmp_path):
    g, d = write(tmp_path / "x.pt", size, legacy=legacy)
    networks = load(tmp_path / "x.pt")
    network = networks.generator
    assert network.resolution == size
    ws, other = network.mapping(g["z"]), network.mapping(g["z2"])
    mixed = torch.cat([ws[:, : g.args["inject_index"]], other[:, g.args["inject_index"] :]], dim=1)
    check(g, "ws", ws, 1e-12)
    check(g, "image", network(g["z"], noise="const"), 1e-6)
    check(g, "image_truncated", network(g["z"], psi=g.args["psi"], noise="const"), 1e-6)
    check(g, "image_mixed", network.synthesis(mixed, "const"), 1e-6)
    check(d, "logits", networks.discriminator(d["images"]), 1e-12)
    check(d, "logits_first2", networks.discriminator(d["images"][:2]), 1e-12)


@pytest.mark.parametrize("size", SIZES)
def test_writing_again_gives_identical_tensors(size, tmp_path):
    g, d = write(tmp_path / "x.pt", size, dtype=torch.float32)
    formats["rosinality"].write(load(tmp_path / "x.pt"), tmp_path / "y.pt")
    found = torch.load(tmp_path / "y.pt", weights_only=True)
    for name, weights in (("g_ema", g.weights()), ("g", g.weights()), ("d", d.weights())):
        assert found[name].keys() == weights.keys()
        for key, tensor in weights.items():
            assert found[name][key].shape == tensor.shape and torch.equal(found[name][key], tensor)
    assert torch.equal(found["latent_avg"], g["truncation_latent"].reshape(-1))


def test_a_file_of_training_is_read_with_its_options_and_optimizers(tmp_path):
    optimizer = {"state": {0: {"step": 1, "exp_avg": torch.zeros(2)}}, "param_groups": [{"lr": 0.002}]}
    args = argparse.Namespace(path="data/lmdb", size=16, channel_multiplier=2)
    more = {"g_optim": optimizer, "d_optim": optimizer, "args": args, "ada_aug_p": 0.1}
    write(tmp_path / "x.pt", 16, latent_avg=False, **more)
    networks = load(tmp_path / "x.pt")
    assert networks.about["data"] == {"path": "data/lmdb"}
    assert networks.raw_generator is not None
    assert any("4096 fixed latents" in remark for remark in networks.remarks)
    generator = networks.generator
    z = torch.randn(20_000, generator.z_dim, dtype=torch.float64)
    with torch.no_grad():
        mean = generator.mapping(z)[:, 0].mean(dim=0)
        deviation = generator.mapping(z)[:, 0].std(dim=0)
    assert ((generator.mapping.w_avg - mean).abs() < 6 * deviation / 4096**0.5).all()


def test_a_file_without_noise_is_read_with_a_remark(tmp_path):
    g, _ = write(tmp_path / "x.pt", 16)
    weights = {name: value for name, value in g.weights().items() if not name.startswith("noises.")}
    torch.save({"g_ema": weights}, tmp_path / "x.pt")
    networks = load(tmp_path / "x.pt")
    assert any("no stored noise" in remark for remark in networks.remarks)
    assert networks.generator.synthesis.b8.conv0.noise_const.abs().max() == 0


def test_tensors_of_another_network_are_refused(tmp_path):
    g, _ = write(tmp_path / "x.pt", 16)
    torch.save({"g_ema": {**g.weights(), "attention.weight": torch.zeros(2)}}, tmp_path / "x.pt")
    with pytest.raises(InputError, match="attention.weight"):
        load(tmp_path / "x.pt")


SMALL = {"z_dim": 16, "w_dim": 16, "mapping_layers": 2, "channel_base": 128, "channel_max": 8}


@pytest.mark.parametrize(
    "options,scalings,words",
    [
        ({"num_classes": 2}, {}, "no labels"),
        ({"architecture": "resnet"}, {}, "architecture skip"),
        ({"w_dim": 8}, {}, "equal widths"),
        ({"img_channels": 1}, {}, "RGB"),
        ({}, {"noise": False}, "noise"),
        ({}, {"clamp": 256.0}, "no bound"),
        ({}, {"mapping_lr_multiplier": 1.0}, "0.01"),
        ({}, {"activation_gain": 1.0}, "activation_gain"),
    ],
)
def test_what_that_program_cannot_hold_is_refused(options, scalings, words, tmp_path):
    networks = Networks(generator=Generator(16, scalings=Scalings(**scalings), **(SMALL | options)))
    with pytest.raises(InputError, match=words):
        formats["rosinality"].write(networks, tmp_path / "x.pt")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "options,words", [({"architecture": "skip"}, "resnet"), ({"minibatch_group": 2}, "groups of 4")]
)
def test_a_discriminator_that_it_cannot_hold_is_refused(options, words, tmp_path):
    d = Discriminator(16, channel_base=128, channel_max=8, **options)
    with pytest.raises(InputError, match=words):
        formats["rosinality"].write(
            Networks(generator=Generator(16, **SMALL), discriminator=d), tmp_path / "x"
        )
