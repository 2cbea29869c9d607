"""Whole networks against official numbers, built from nothing but their state dictionaries."""

import pytest
import torch
from conftest import load_golden, parametrize_golden

from stylegan2 import Discriminator, Generator
from stylegan2.formats.official import from_official

GENERATORS = [
    "net_g_skip_4",
    "net_g_skip_16",
    "net_g_skip_16_clamp",
    "net_g_skip_32_cond",
    "net_g_skip_64_gray",
    "net_g_resnet_32",
    "net_g_orig_16_cond_gray",
]
DISCRIMINATORS = [
    "net_d_resnet_16",
    "net_d_resnet_16_nostd",
    "net_d_resnet_32_cond",
    "net_d_resnet_64_gray",
    "net_d_skip_16_cond",
    "net_d_skip_32_gray",
    "net_d_orig_32",
    "net_d_orig_64_cond",
]


@parametrize_golden(*GENERATORS)
def test_generator_equals_the_official_one(golden):
    generator = from_official(golden.weights(), clamp=golden.args["clamp"])
    assert isinstance(generator, Generator)
    z, c = golden["z"], golden.get("c")
    ws = generator.mapping(z, c)
    golden.check("ws", ws)
    golden.check("image_const", generator(z, c, noise="const"))
    golden.check("image_none", generator.synthesis(ws, noise="none"))
    golden.check("image_ws", generator.synthesis(golden["ws_mixed"], noise="const"))


@parametrize_golden(*GENERATORS)
def test_truncation_equals_the_official_one(golden):
    generator = from_official(golden.weights(), clamp=golden.args["clamp"])
    z, c, half = golden["z"], golden.get("c"), generator.num_ws // 2
    golden.check("image_psi", generator(z, c, psi=0.7, noise="const"))
    golden.check("image_psi_cutoff", generator(z, c, psi=0.5, cutoff=half, noise="const"))


@parametrize_golden(*DISCRIMINATORS)
def test_discriminator_equals_the_official_one(golden):
    discriminator = from_official(
        golden.weights(), clamp=golden.args["clamp"], minibatch_group=golden.args["minibatch_std_group"]
    )
    assert isinstance(discriminator, Discriminator)
    images, c = golden.leaf("images"), golden.get("c")
    logits = discriminator(images, c)
    golden.check("logits", logits)
    golden.check("grad_images", torch.autograd.grad(logits.sum(), images)[0])
    golden.check("logits_first2", discriminator(images[:2], None if c is None else c[:2]))


@pytest.mark.parametrize("name", GENERATORS + DISCRIMINATORS)
def test_settings_are_inferred_from_names_and_shapes(name):
    golden = load_golden(name)
    network = from_official(golden.weights())
    config, args = network.config, golden.args
    expected = {
        "resolution": args["resolution"],
        "num_classes": args["label_dim"],
        "img_channels": args["image_channels"],
        "channel_base": args["channel_base"],
        "channel_max": args["channel_max"],
        "architecture": args["architecture"],
    }
    if "z_dim" in args:
        expected |= {"z_dim": args["z_dim"], "w_dim": args["w_dim"], "mapping_layers": args["mapping_layers"]}
    else:
        expected |= {"minibatch_channels": max(args["minibatch_std_features"], 1)}
        assert network.scalings.minibatch_stddev == (args["minibatch_std_features"] > 0)
    assert {key: getattr(config, key) for key in expected} == expected
    assert config.taps == (1, 3, 3, 1)


def test_a_generator_without_noise_inputs_is_recognized():
    weights = {
        name: value for name, value in load_golden("net_g_skip_16").weights().items() if "noise" not in name
    }
    generator = from_official(weights)
    assert generator.scalings.noise is False
    golden = load_golden("net_g_skip_16")
    golden.check("image_none", generator(golden["z"], noise="const"))


def test_overrides_reach_the_network():
    weights = load_golden("net_d_resnet_16").weights()
    network = from_official(weights, minibatch_group=2, clamp=0.5, mapping_lr_multiplier=1.0)
    assert network.minibatch_group == 2
    assert network.scalings.clamp == 0.5
    assert network.scalings.mapping_lr_multiplier == 1.0


@pytest.mark.parametrize(
    "state,words",
    [
        ({}, "no state dictionary"),
        ({"weight": torch.zeros(1)}, "no state dictionary"),
        ({"synthesis.b4.conv1.weight": torch.zeros(1, 1, 3, 3)}, "mapping.fc0.weight"),
    ],
)
def test_a_dictionary_of_something_else_is_refused(state, words):
    with pytest.raises(ValueError, match=words):
        from_official(state)


def test_an_unknown_override_is_refused():
    with pytest.raises(ValueError, match="groups"):
        from_official(load_golden("net_d_resnet_16").weights(), groups=2)
