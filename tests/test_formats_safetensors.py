"""Safetensors files: all settings and every bit come back; a damaged or foreign file is refused."""

import json
import struct

import pytest
import torch
from conftest import load_golden
from safetensors import safe_open
from safetensors.torch import save_file

from stylegan2 import Discriminator, Generator, Scalings, load_generator
from stylegan2.errors import InputError
from stylegan2.formats import Networks, formats, load

SMALL = {"channel_base": 128, "channel_max": 8, "mapping_layers": 2}


def networks(**options):
    scalings = Scalings(noise=False, activation_gain=1.0, clamp=2.0, mapping_lr_multiplier=0.5)
    g = Generator(
        16,
        scalings=scalings,
        z_dim=8,
        w_dim=12,
        taps=(1, 2, 1),
        num_classes=2,
        low_precision_blocks=1,
        **SMALL,
    )
    d = Discriminator(16, scalings=scalings, minibatch_group=None, num_classes=2, taps=(1, 2, 1), **SMALL)
    about = {
        "images": 5000,
        "iteration": 7,
        "class_names": ["a", "b"],
        "data": {"path": "cats"},
        "random": object(),
    }
    return Networks(generator=g, discriminator=d, raw_generator=g, about=about, **options)


@pytest.fixture
def path(tmp_path):
    formats["safetensors"].write(networks(), tmp_path / "x.safetensors")
    return tmp_path / "x.safetensors"


def test_settings_and_tensors_come_back(path):
    before, after = networks(), load(path)
    torch.manual_seed(0)
    for name, network in after.named().items():
        assert network.config == before.named()[name].config
    assert after.generator.scalings == before.generator.scalings
    assert {key: after.about[key] for key in ("images", "class_names", "data")} == {
        "images": 5000, "class_names": ["a", "b"], "data": {"path": "cats"},
    }  # fmt: skip
    assert "random" not in after.about
    with safe_open(path, framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    assert tensors.keys() == after.tensors().keys()
    assert all(torch.equal(tensors[name], value) for name, value in after.tensors().items())


def test_a_file_of_official_names_without_settings_is_read(tmp_path):
    golden = load_golden("net_g_skip_16", dtype=torch.float32)
    save_file(golden.weights(), tmp_path / "g.safetensors")
    generator, _ = load_generator(tmp_path / "g.safetensors")
    golden.check("image_const", generator(golden["z"], noise="const"))


def test_every_flipped_bit_is_found(path):
    """In the tensors, the names, the shapes and the settings. Blanks of the header carry nothing.

    The library writes the metadata in another order each time, so that the framework's name is looked up.
    """
    data = path.read_bytes()
    size = struct.unpack("<Q", data[:8])[0]
    framework = data.index(b'"format":"pt"')
    header = [*range(0, 8 + size, 37), *range(framework, framework + len('"format":"pt"'))]
    for place in [*header, *range(8 + size, len(data), len(data) // 40)]:
        spoilt = bytearray(data)
        spoilt[place] ^= 4
        path.write_bytes(spoilt)
        if data[place] == ord(" "):
            continue
        with pytest.raises(InputError):
            load(path)


def header(change):
    def apply(data):
        size = struct.unpack("<Q", data[:8])[0]
        content = json.loads(data[8 : 8 + size])
        change(content)
        text = json.dumps(content).encode()
        return struct.pack("<Q", len(text)) + text + data[8 + size :]

    return apply


def first(content):
    return next(value for name, value in content.items() if name != "__metadata__")


@pytest.mark.parametrize(
    "spoil",
    [
        lambda data: data[:-1],
        lambda data: data[: len(data) // 2],
        lambda data: data[:20],
        lambda data: data + b"\0" * 9,
        lambda data: struct.pack("<Q", 99_999_999) + data[8:],
        lambda data: struct.pack("<Q", 2**63) + data[8:],
        lambda data: struct.pack("<Q", 3) + data[8:],
        header(lambda c: first(c).update(shape=[2**40])),
        header(lambda c: first(c).update(data_offsets=[0, 2**60])),
        header(lambda c: first(c).update(data_offsets=[-8, 8])),
        header(lambda c: first(c).update(dtype="F999")),
        header(lambda c: c.clear()),
        header(lambda c: c["__metadata__"].update(stylegan2="[")),
        header(lambda c: c["__metadata__"].update(stylegan2='{"generator": 1}')),
        header(lambda c: c["__metadata__"].pop("sha256")),
        header(lambda c: c["__metadata__"].pop("stylegan2")),
        header(lambda c: c.update({"../../x": c.pop("generator.synthesis.b4.const")})),
    ],
)
def test_a_spoilt_file_is_refused(spoil, path):
    path.write_bytes(spoil(path.read_bytes()))
    with pytest.raises(InputError) as refused:
        load(path)
    assert len(str(refused.value)) < 2000


def test_scalings_that_differ_between_the_networks_are_refused(tmp_path):
    both = networks()
    both.discriminator = Discriminator(16, num_classes=2, **SMALL)
    with pytest.raises(InputError, match="same scalings"):
        formats["safetensors"].write(both, tmp_path / "x.safetensors")
