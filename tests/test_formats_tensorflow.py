"""Pickles of TensorFlow's StyleGAN2, made from golden networks by its rules for names, axes and flips."""

import foreign_files as theirs
import numpy as np
import pytest
import torch
from conftest import load_golden

from stylegan2.errors import InputError
from stylegan2.formats import load

PAIRS = [
    ("net_g_skip_16", "net_d_resnet_16"),
    ("net_g_resnet_32", "net_d_orig_32"),
    ("net_g_skip_32_cond", "net_d_resnet_32_cond"),
    ("net_g_skip_64_gray", "net_d_resnet_16_nostd"),
]


@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize("g,d", PAIRS)
@torch.no_grad()
def test_the_networks_give_the_golden_numbers(g, d, protocol, tmp_path):
    g, d = load_golden(g), load_golden(d)
    group = d.args["minibatch_std_group"]
    pickled = theirs.tf_pickle(
        theirs.tf_generator(g.weights(), "G"),
        theirs.tf_discriminator(d.weights(), mbstd_group_size=group),
        theirs.tf_generator(g.weights()),
        protocol=protocol,
    )
    (tmp_path / "x.pkl").write_bytes(pickled)
    networks = load(tmp_path / "x.pkl")
    generator, discriminator = networks.generator.double(), networks.discriminator.double()
    g.check("image_const", generator(g["z"], g.get("c"), noise="const"))
    g.check("image_psi", generator(g["z"], g.get("c"), psi=0.7, noise="const"))
    d.check("logits", discriminator(d["images"], d.get("c")))
    assert networks.raw_generator is not None


def test_options_in_the_file_are_used(tmp_path):
    g, d = (load_golden(name, dtype=torch.float32) for name in PAIRS[0])
    static = {"mapping_lrmul": 0.5, "num_fp16_res": 2, "conv_clamp": 256, "resample_kernel": [1, 2, 1]}
    networks = (
        theirs.tf_generator(g.weights(), **static),
        theirs.tf_discriminator(d.weights(), mbstd_group_size=8),
    )
    (tmp_path / "x.pkl").write_bytes(theirs.tf_pickle(networks[0], networks[1], networks[0]))
    found = load(tmp_path / "x.pkl")
    scalings, config = found.generator.scalings, found.generator.config
    assert (scalings.mapping_lr_multiplier, scalings.clamp) == (0.5, 256)
    assert (config.low_precision_blocks, config.taps) == (2, (1, 2, 1))
    assert found.discriminator.config.minibatch_group == 8
    assert any("defaults of their program" in remark for remark in found.remarks)


@pytest.mark.parametrize(
    "variable,words",
    [
        ("LabelConcat/weight", "concatenated with z"),
        ("4x4/StyleMod/weight", "another architecture"),
        ("8x8/Conv0_up/gain", "another architecture"),
        ("Upscale/weight", "another architecture"),
    ],
)
def test_other_architectures_are_refused_by_the_variable(variable, words, tmp_path):
    g = theirs.tf_generator(load_golden("net_g_skip_16").weights())
    g.state["variables"].append((variable, np.zeros((2, 2), np.float32)))
    (tmp_path / "x.pkl").write_bytes(theirs.tf_pickle(g, g, g))
    with pytest.raises(InputError, match=words):
        load(tmp_path / "x.pkl")


def test_a_logit_for_each_class_is_refused(tmp_path):
    g, d = (load_golden(name) for name in PAIRS[0])
    critic = theirs.tf_discriminator(
        d.weights() | {"b4.out.weight": torch.zeros(3, 16), "b4.out.bias": torch.zeros(3)}
    )
    generator = theirs.tf_generator(g.weights())
    (tmp_path / "x.pkl").write_bytes(theirs.tf_pickle(generator, critic, generator))
    with pytest.raises(InputError, match="one logit for each class"):
        load(tmp_path / "x.pkl")


def test_variables_that_are_none_are_refused(tmp_path):
    g = theirs.tf_generator(load_golden("net_g_skip_16").weights())
    g.state["variables"].append(("4x4/Conv/weight", "text"))
    (tmp_path / "x.pkl").write_bytes(theirs.tf_pickle(g, g, g))
    with pytest.raises(InputError, match="names and arrays"):
        load(tmp_path / "x.pkl")
