"""NVIDIA's pickles: what the file holds is what the networks have, and nothing in it is executed."""

import pickle
import re

import foreign_files as theirs
import pytest
import torch
from conftest import load_golden, parametrize_golden

from stylegan2 import load_generator
from stylegan2.errors import InputError
from stylegan2.formats import load
from stylegan2.formats.reading import read_contents
from stylegan2.pickles.inert import Inert


def pair(tmp_path, g="net_g_skip_16", d="net_d_resnet_16", protocol=4, dtype=torch.float32, **options):
    """A pickle of two golden networks, and their golden cases."""
    cases = load_golden(g, dtype=dtype), load_golden(d, dtype=dtype)
    generator = theirs.nvidia_network(cases[0].weights(), True, **options)
    group = cases[1].args["minibatch_std_group"]
    discriminator = theirs.nvidia_network(cases[1].weights(), False, group=group, **options)
    path = tmp_path / "network-snapshot.pkl"
    path.write_bytes(theirs.nvidia_pickle(protocol, G=generator, D=discriminator, G_ema=generator))
    return path, *cases


@parametrize_golden(
    "net_g_skip_16", "net_g_skip_16_clamp", "net_g_skip_32_cond", "net_g_resnet_32", "net_g_orig_16_cond_gray"
)
def test_a_generator_gives_the_golden_images(golden, tmp_path):
    clamp = golden.args["clamp"]
    path = tmp_path / "x.pkl"
    path.write_bytes(
        theirs.nvidia_pickle(
            G_ema=theirs.nvidia_network(golden.weights(), True, clamp=clamp, channels_last=True)
        )
    )
    generator, _ = load_generator(path)
    assert next(generator.parameters()).dtype == golden.dtype
    assert generator.scalings.clamp == clamp
    golden.check("image_const", generator(golden["z"], golden.get("c"), noise="const"))
    golden.check("image_psi", generator(golden["z"], golden.get("c"), psi=0.7, noise="const"))


@parametrize_golden(
    "net_d_resnet_16", "net_d_resnet_32_cond", "net_d_skip_16_cond", "net_d_orig_32", "net_d_resnet_16_nostd"
)
def test_a_discriminator_gives_the_golden_logits(golden, tmp_path):
    g = load_golden("net_g_skip_4", dtype=golden.dtype)
    path = tmp_path / "x.pkl"
    group = golden.args["minibatch_std_group"]
    d = theirs.nvidia_network(golden.weights(), False, clamp=golden.args["clamp"], group=group)
    path.write_bytes(theirs.nvidia_pickle(G_ema=theirs.nvidia_network(g.weights(), True), D=d))
    golden.check("logits", load(path).discriminator(golden["images"], golden.get("c")))


@pytest.mark.parametrize("protocol", range(6))
def test_every_protocol_is_read(protocol, tmp_path):
    path, g, _ = pair(tmp_path, protocol=protocol)
    networks = load(path)
    g.check("image_const", networks.generator(g["z"], noise="const"))
    assert networks.raw_generator is not None and networks.discriminator is not None
    assert networks.about["data"] == {"path": "data/cats.zip"}


def test_settings_are_read_from_the_modules(tmp_path):
    path, *_ = pair(tmp_path, fp16=2, clamp=256)
    networks = load(path)
    for network in (networks.generator, networks.discriminator):
        assert network.config.low_precision_blocks == 2
        assert network.scalings.clamp == 256
    assert networks.generator.scalings.mapping_lr_multiplier == 0.01
    path, *_ = pair(tmp_path, d="net_d_skip_16_cond", g="net_g_orig_16_cond_gray")
    assert load(path).discriminator.config.minibatch_group is None


def test_float16_tensors_keep_their_values(tmp_path):
    path, g, _ = pair(tmp_path, dtype=torch.float32)
    network = theirs.nvidia_network(g.weights(), True, dtype=torch.float16)
    path.write_bytes(theirs.nvidia_pickle(G_ema=network))
    networks = load(path)
    for name, tensor in networks.generator.state_dict().items():
        expected = g.weights()[name]
        assert torch.equal(tensor, expected.half().float() if expected.ndim else expected)
    assert any("16 bits" in remark for remark in networks.remarks)


def test_the_source_text_in_the_file_stays_text(tmp_path):
    """The stand-in function raises when it is called, and Python's own reader calls it."""
    path, *_ = pair(tmp_path)
    contents = read_contents(path)
    assert isinstance(contents["G_ema"], Inert)
    assert "executed" in contents["G_ema"].arguments[0]["module_src"]
    with (
        theirs.modules_of(
            ("dnnlib.util", "EasyDict", theirs.EasyDict),
            ("torch_utils.persistence", "_reconstruct_persistent_obj", theirs.reconstruct),
        ),
        pytest.raises(AssertionError, match="executed"),
    ):
        pickle.loads(path.read_bytes())


def changed(tmp_path, change):
    g = load_golden("net_g_skip_16", dtype=torch.float32)
    network = theirs.nvidia_network(g.weights(), True, fp16=1, clamp=256)
    change(network)
    path = tmp_path / "x.pkl"
    path.write_bytes(theirs.nvidia_pickle(G_ema=network))
    return path


def cyclic(network):
    network.state["_modules"]["again"] = network


def branching(network):
    """Every module twice in the one above it: a million names from twenty modules."""
    module = theirs.Module("Part")
    for _ in range(20):
        module = theirs.Module("Part", _modules={"a": module, "b": module})
    network.state["_modules"]["branching"] = module


def set_at(path, **values):
    return lambda network: network.at(path).state.update(values)


@pytest.mark.parametrize(
    "change,words",
    [
        (cyclic, "nested"),
        (branching, "nested"),
        (set_at(["synthesis", "b4"], use_fp16=True), "float16 blocks"),
        (set_at(["synthesis", "b8", "conv0"], conv_clamp=1), "different values of conv_clamp"),
        (set_at(["synthesis", "b8", "conv0"], activation="swish"), "different values of activation"),
        (set_at(["mapping", "fc1"], _parameters={}), "lacks mapping.fc1"),
        (set_at(["synthesis", "b8", "conv1"], _parameters={"weight": torch.zeros(3)}), "dimensions|lacks"),
        (set_at(["synthesis", "b4"], _parameters={"const": torch.zeros(16, 5, 5)}), "const has the shape"),
        (set_at(["synthesis", "b4"], _parameters={"const": torch.full((16, 4, 4), torch.nan)}), "NaN"),
        (set_at(["synthesis", "b4"], _parameters=[1]), "lacks"),
        (set_at(["synthesis"], _modules="x"), "no state dictionary"),
    ],
)  # fmt: skip
def test_what_no_network_has_is_refused(change, words, tmp_path):
    with pytest.raises(InputError, match=words):
        load(changed(tmp_path, change))


def test_another_architecture_of_stylegan3_is_refused_by_name(tmp_path):
    network = theirs.Module("Generator")
    network.at(["synthesis", "L0_36_512"]).state["_parameters"]["weight"] = torch.zeros(2)
    (tmp_path / "x.pkl").write_bytes(theirs.nvidia_pickle(G_ema=network))
    with pytest.raises(InputError, match="StyleGAN3"):
        load(tmp_path / "x.pkl")


def test_a_discriminator_alone_is_refused(tmp_path):
    d = load_golden("net_d_resnet_16", dtype=torch.float32)
    (tmp_path / "x.pkl").write_bytes(theirs.nvidia_pickle(D=theirs.nvidia_network(d.weights(), False)))
    with pytest.raises(InputError, match="no generator"):
        load(tmp_path / "x.pkl")


def test_a_cut_pickle_is_refused(tmp_path):
    path, *_ = pair(tmp_path)
    data = path.read_bytes()
    for length in (1, 100, len(data) // 2, len(data) - 1):
        path.write_bytes(data[:length])
        with pytest.raises(InputError, match="cannot be read|something else") as refused:
            load(path)
        assert re.search(re.escape(str(path)), str(refused.value))
