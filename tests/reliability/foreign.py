"""Files of other programs that are hostile, spoilt or cut: pickles of networks, and safetensors."""

from __future__ import annotations

import io
import json
import os
import pickle
import pickletools
import struct
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from random import Random

import numpy as np
import torch

from stylegan2 import Discriminator, Generator
from stylegan2.formats import Networks, formats, load, load_generator

from . import samples
from .cuts import cut
from .pickles import dumped, payload
from .runner import Family

sys.path.insert(0, str(Path(__file__).parent.parent))
import foreign_files as theirs  # noqa: E402

family = Family(
    name="foreign",
    tried="a hostile or damaged file of another program",
    holds="it is refused with a message, or a network of finite numbers is read, and what it says is not executed",
    count=150,
    prepare=lambda: (samples.prepare(), sources()),
)

SMALL = {"z_dim": 8, "w_dim": 8, "mapping_layers": 2, "channel_base": 64, "channel_max": 8}


@cache
def sources() -> dict[str, bytes]:
    """A sound file of each kind."""
    torch.manual_seed(0)
    g = Generator(8, **SMALL)
    d = Discriminator(8, channel_base=64, channel_max=8, mapping_layers=2)
    for parameter in (*g.parameters(), *d.parameters()):
        torch.nn.init.normal_(parameter.data)
    networks = Networks(generator=g, discriminator=d)
    ours = {name: value.detach().contiguous() for name, value in g.state_dict().items()}
    critic = {name: value.detach().contiguous() for name, value in d.state_dict().items()}
    generator = theirs.nvidia_network(ours, True)
    files = {
        "nvidia.pkl": theirs.nvidia_pickle(
            G=generator, D=theirs.nvidia_network(critic, False), G_ema=generator
        ),
        "tensorflow.pkl": theirs.tf_pickle(
            theirs.tf_generator(ours), theirs.tf_discriminator(critic), theirs.tf_generator(ours)
        ),
    }
    for name in ("safetensors", "rosinality", "official"):
        path = Path(f"{name}.source")
        formats[name].write(networks, path)
        files[f"{name}{formats[name].suffix}"] = path.read_bytes()
        path.unlink()
    return files


def read(folder: Path, name: str, data: bytes) -> str:
    """Give a file to all that reads others' files. It is refused, or gives finite images of the right shape."""
    path = folder / name
    path.write_bytes(data)

    def sound(networks: Networks) -> str:
        with torch.no_grad():
            images = networks.generator(torch.zeros(1, networks.generator.z_dim), noise="const")
        assert images.shape == (1, 3, 8, 8), f"images of shape {tuple(images.shape)} were made"
        return "read"

    first = samples.refused(lambda: load(path), sound)
    second = samples.refused(lambda: load_generator(path), lambda _: "read")
    assert first == second, f"one reader has {first}, the other {second}"
    if first == "refused":
        with samples.nothing_written(folder):
            samples.refuses("convert", path, folder / "out.ckpt")
    return first


def any_source(random: Random) -> tuple[str, bytes]:
    return random.choice(list(sources().items()))


@family.kind("cut at any length")
def cuts(folder: Path, random: Random) -> str:
    name, data = any_source(random)
    found = read(folder, name, cut(data, random))
    assert found == "refused", "half a file was read"
    return found


@family.kind("flipped bits")
def flips(folder: Path, random: Random) -> str:
    name, data = any_source(random)
    spoilt = bytearray(data)
    for _ in range(random.choice([1, 1, 10, 1000])):
        spoilt[random.randrange(len(spoilt))] ^= 1 << random.randrange(8)
    return read(folder, name, bytes(spoilt))


@family.kind("random or zeroed block")
def blocks(folder: Path, random: Random) -> str:
    name, data = any_source(random)
    start, size = random.randrange(len(data)), random.choice([8, 64, 4096])
    block = bytes(size) if random.random() < 0.5 else random.randbytes(size)
    return read(folder, name, data[:start] + block + data[start + size :])


def pickled(random: Random) -> tuple[str, bytes]:
    name = random.choice(["nvidia.pkl", "tensorflow.pkl"])
    return name, sources()[name]


@family.kind("call inside a pickle of networks")
def inside(folder: Path, random: Random) -> str:
    """Another instruction is put where one ends: a call, whose result is dropped or stays."""
    name, data = pickled(random)
    places = [
        position for _, _, position in pickletools.genops(data) if position is not None and position > 2
    ]
    place = random.choice(places)
    code = b"cos\nsystem\n(S'touch executed'\ntR" + random.choice([b"0", b"", b"b", b"s", b"q\x01", b"."])
    return read(folder, name, data[:place] + code + data[place:])


@family.kind("names of functions in place of others")
def names(folder: Path, random: Random) -> str:
    name, data = pickled(random)
    pairs = [
        (b"\x8c\x10_load_from_bytes", b"\x8c\x04load"),
        (b"\x8c\x12_rebuild_parameter", b"\x8c\x08_import_"),
        (b"\x8c\x1a_reconstruct_persistent_obj", b"\x8c\x04exec"),
        (b"\x8c\x17torch_utils.persistence", b"\x8c\x08builtins"),
        (b"\x8c\x0btorch._utils", b"\x8c\x02os"),
        (b"\x8c\x14dnnlib.tflib.network", b"\x8c\x0asubprocess"),
        (b"\x8c\x07Network", b"\x8c\x05Popen"),
        (b"\x8c\x0c_reconstruct", b"\x8c\x04load"),
    ]
    for old, new in random.sample(pairs, 4):
        data = data.replace(old, new)
    return read(folder, name, data)


@family.kind("pickle of a call")
def calls(folder: Path, random: Random) -> str:
    found = read(folder, random.choice(["x.pkl", "x.pt", "x.safetensors"]), dumped(payload(random), random))
    assert found == "refused"
    return found


@family.kind("call under the name of a network")
def named(folder: Path, random: Random) -> str:
    names = random.choice([["G_ema"], ["G", "D", "G_ema"], ["g_ema"], [0, 1, 2]])
    found = read(folder, "x.pkl", dumped({name: payload(random) for name in names}, random))
    assert found == "refused"
    return found


@family.kind("instructions at random")
def opcodes(folder: Path, random: Random) -> str:
    codes = [opcode.code.encode("latin-1") for opcode in pickletools.opcodes]
    codes += [
        b"cos\nsystem\n",
        b"S'touch executed'\n",
        b"q\x00",
        b"h\x00",
        b"K\x01",
        b"ccollections\nOrderedDict\n",
    ]
    codes += [b"cbuiltins\ngetattr\n", b"U\x02ab", b"(", b"t", b"R", b"b"]
    body = b"".join(random.choices(codes, k=random.randint(1, 200)))
    return read(folder, "x.pkl", b"\x80\x04" + body + b".")


@family.kind("instructions of a pickle changed")
def mutated(folder: Path, random: Random) -> str:
    """Instructions are doubled, dropped and swapped, so that it stays a program in most places."""
    name, data = pickled(random)
    starts = [position for _, _, position in pickletools.genops(data) if position is not None] + [len(data)]
    parts = [data[a:b] for a, b in zip(starts, starts[1:])]
    for _ in range(random.choice([1, 3, 30])):
        k = random.randrange(1, len(parts))
        change = random.randrange(3)
        if change == 0:
            parts.insert(k, parts[random.randrange(1, len(parts))])
        elif change == 1:
            del parts[k]
        else:
            other = random.randrange(1, len(parts))
            parts[k], parts[other] = parts[other], parts[k]
    return read(folder, name, b"".join(parts))


@family.kind("huge lengths, indices and shapes")
def lengths(folder: Path, random: Random) -> str:
    huge = struct.pack("<Q", random.choice([2**62, 2**40, 2**33]))
    programs = [
        *(b"\x80\x05" + code + huge + b"abc." for code in (b"\x8d", b"\x8e", b"\x96", b"\x95")),
        *(b"\x80\x05" + code + b"\xff\xff\xff\x7fabc." for code in (b"B", b"X", b"T", b"\x8b")),
        b"\x80\x02K\x01r\xff\xff\xff\xff.",
        b"\x80\x02" + b"K\x01p" + b"9" * 4000 + b"\n.",
        pickle.dumps({"G_ema": torch.zeros(4)}, 2).replace(b"K\x04\x85", b"\x8a\x05\0\0\0\0\x40\x85"),
        pickle.dumps({"G_ema": np.zeros(4)}, 2).replace(b"K\x04\x85", b"\x8a\x05\0\0\0\0\x40\x85"),
        b"\x80\x04" + random.choice([b"]", b"}", b"\x8f", b"(", b")", b"N"]) * 3_000_000 + b".",
    ]
    found = read(folder, "x.pkl", random.choice(programs))
    assert found == "refused"
    return found


@family.kind("a few lines that stand for billions")
def laughs(folder: Path, random: Random) -> str:
    value: object = [0]
    for _ in range(12):
        value = random.choice([list, tuple])([value] * 10)
    key = random.choice(["variables", "components", "static_kwargs"])
    network = theirs.TFNetwork("G", [])
    network.state[key] = value
    found = read(folder, "x.pkl", theirs.tf_pickle(network, network, network))
    assert found == "refused"
    return found


@family.kind("modules within themselves")
def cycles(folder: Path, random: Random) -> str:
    module: theirs.Module = theirs.Module("Generator")
    inner = module
    for _ in range(random.randrange(30)):
        inner = theirs.Module("Part", _modules={"a": inner, "b": inner})
    module.state["_modules"]["synthesis"] = inner
    found = read(folder, "x.pkl", theirs.nvidia_pickle(G_ema=module))
    assert found == "refused"
    return found


@family.kind("wrong header of safetensors")
def headers(folder: Path, random: Random) -> str:
    data = sources()["safetensors.safetensors"]
    size = struct.unpack("<Q", data[:8])[0]
    header, body = json.loads(data[8 : 8 + size]), data[8 + size :]
    key = random.choice([key for key in header if key != "__metadata__"])
    changes: list[Callable[[], object]] = [
        lambda: header[key].update(shape=[random.choice([-1, 0, 2**40, 2**64])]),
        lambda: header[key].update(data_offsets=[0, random.choice([2**40, 2**64, -1])]),
        lambda: header[key].update(dtype=random.choice(["F8_E5M2", "X", "I64", 3])),
        lambda: header.update({"../../" + key: header.pop(key)}),
        lambda: header["__metadata__"].update(stylegan2=json.dumps({"generator": {"resolution": 2**30}})),
        lambda: header.update(__metadata__={"stylegan2": "[" * 100_000}),
        lambda: header.update(__metadata__=[1]),
        header.clear,
    ]
    random.choice(changes)()
    text = json.dumps(header).encode()
    length = random.choice([len(text)] * 4 + [2**63, 2**26, 0, 1])
    found = read(folder, "x.safetensors", struct.pack("<Q", length) + text + body)
    assert found == "refused"
    return found


@family.kind("no such file at all")
def other(folder: Path, random: Random) -> str:
    buffer = io.BytesIO()
    np.savez(buffer, a=np.zeros(3))
    contents = [
        b"",
        b"\0" * 1000,
        b"Not Found",
        b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 363\n",
        b"<!DOCTYPE html>" + b"x" * 5000,
        json.dumps({"G_ema": 1}).encode(),
        buffer.getvalue(),
        random.randbytes(5000),
        os.urandom(0) + b"\x1f\x8b" + random.randbytes(100),
        b"\x93NUMPY" + random.randbytes(100),
    ]
    name = random.choice(["x.pkl", "x.pt", "x.ckpt", "x.safetensors"])
    found = read(folder, name, random.choice(contents))
    assert found == "refused"
    return found
