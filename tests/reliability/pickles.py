"""Checkpoints that hold code, as pickles can, and some that hold impossible data."""

from __future__ import annotations

import builtins
import importlib
import io
import os
import pickle
import runpy
import struct
import subprocess
import tarfile
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from copy import deepcopy
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import torch

from stylegan2 import files
from stylegan2.formats import load_generator, native

from . import samples
from .runner import EXECUTED, Family

family = Family(
    name="pickles",
    tried="a hostile checkpoint",
    holds="it is refused with a message by all that reads checkpoints, and what it says is not executed",
    count=150,
    prepare=samples.prepare,
)


class Call:
    """What pickle writes for this object calls a function when it is read."""

    def __init__(self, function: Callable, *args: object):
        self.call = (function, args)

    def __reduce__(self) -> tuple:
        return self.call


class WithState(Call):
    """The same, with a state that is set afterwards."""

    def __reduce__(self) -> tuple:
        return (*self.call, {"__class__": Call, "state": 1})


def payload(random: Random) -> Call:
    """A call that writes the file `EXECUTED`, by one of many ways."""
    code = f"open({EXECUTED!r}, 'w')"
    inner = pickle.dumps(Call(os.system, f"touch {EXECUTED}"))
    buffer = io.BytesIO()
    torch.save(Call(os.system, f"touch {EXECUTED}"), buffer)
    ways = [
        Call(os.system, f"touch {EXECUTED}"),
        Call(os.popen, f"touch {EXECUTED}"),
        Call(os.mkdir, EXECUTED),
        Call(subprocess.check_output, ["touch", EXECUTED]),
        Call(builtins.exec, code),
        Call(builtins.eval, code),
        Call(builtins.open, EXECUTED, "w"),
        Call(runpy._run_code, code, {}),
        Call(importlib.import_module, "this"),
        Call(pickle.loads, inner),
        Call(partial, os.system, f"touch {EXECUTED}"),
        Call(map, os.system, [f"touch {EXECUTED}"]),
        Call(builtins.getattr, os, "system"),
        Call(torch.load, buffer.getvalue()),
        Call(torch.storage._load_from_bytes, buffer.getvalue()),
        Call(torch.save, {}, EXECUTED),
        Call(torch.hub.load, ".", "x"),
        Call(torch.serialization.load, EXECUTED),
        Call(np.save, EXECUTED, 1),
        Call(Path.touch, Path(EXECUTED)),
        Call(files.write_text, EXECUTED, ""),
        Call(samples.run_command, "generate", [], EXECUTED),
    ]
    function, arguments = random.choice(ways).call
    return random.choice([Call, Call, WithState])(function, *arguments)


def dumped(value: object, random: Random) -> bytes:
    """A value as a pickle; a call that cannot be pickled is replaced by one that can."""
    try:
        return pickle.dumps(value, protocol=random.randrange(6))
    except Exception:  # what cannot be pickled raises many kinds
        return pickle.dumps(Call(os.system, f"touch {EXECUTED}"))


def saved(value: object, **options: Any) -> bytes:
    buffer = io.BytesIO()
    try:
        torch.save(value, buffer, **options)
    except Exception:  # as above
        buffer = io.BytesIO()
        torch.save(Call(os.system, f"touch {EXECUTED}"), buffer, **options)
    return buffer.getvalue()


def refused_by_all(folder: Path, random: Random, data: bytes) -> str:
    """Give a file to all that reads checkpoints."""
    path = folder / random.choice(["last.ckpt", "network.pkl", "weights.pt", "generator.pth"])
    path.write_bytes(data)
    (folder / "tiny.yaml").write_text(samples.TINY, encoding="utf-8")
    samples.refused(lambda: load_generator(path))
    samples.refused(lambda: native.read(path))
    commands = {
        "generate": ["--checkpoint", path, "--out", "out"],
        "probe": ["--checkpoint", path, "--config", "tiny.yaml", "--out", "out"],
        "train": ["--ckpt_path", path, "--config", "tiny.yaml", "--name", "x"],
    }
    name = random.choice(list(commands))
    with samples.nothing_written(folder):
        return samples.refuses(name, *commands[name])


@family.kind("plain pickle")
def plain(folder: Path, random: Random) -> str:
    return refused_by_all(folder, random, dumped(payload(random), random))


@family.kind("PyTorch file")
def whole(folder: Path, random: Random) -> str:
    return refused_by_all(folder, random, saved(payload(random)))


@family.kind("PyTorch file of before 1.6")
def legacy(folder: Path, random: Random) -> str:
    return refused_by_all(folder, random, saved(payload(random), _use_new_zipfile_serialization=False))


def places(tree: object, path: tuple = ()) -> list[tuple]:
    """Where in a checkpoint something could be put."""
    items = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else []
    return [path, *(place for key, value in items for place in places(value, (*path, key)))][bool(not path) :]


@family.kind("call inside a sound checkpoint")
def inside(folder: Path, random: Random) -> str:
    contents = deepcopy(samples.tensors())
    *way, last = random.choice(places(contents))
    where: Any = contents
    for key in way:
        where = where[key]
    where[last] = payload(random)
    legacy = random.random() < 0.3
    return refused_by_all(folder, random, saved(contents, _use_new_zipfile_serialization=not legacy))


@family.kind("call as the name of an entry")
def as_key(folder: Path, random: Random) -> str:
    contents = deepcopy(samples.tensors())
    contents[payload(random)] = 1
    return refused_by_all(folder, random, saved(contents))


def repacked(change: Callable[[str, bytes], bytes], more: dict[str, bytes] | None = None) -> bytes:
    """The sound checkpoint, whose records `change` has replaced. Their checksums are right."""
    buffer = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(samples.checkpoint())) as old,
        zipfile.ZipFile(buffer, "w") as new,
        samples.warnings.catch_warnings(),
    ):
        samples.warnings.simplefilter("ignore")
        for name in old.namelist():
            new.writestr(name, change(name, old.read(name)))
        for name, content in (more or {}).items():
            new.writestr(f"{old.namelist()[0].partition('/')[0]}/{name}", content)
    return buffer.getvalue()


@family.kind("replaced record of a sound checkpoint")
def record(folder: Path, random: Random) -> str:
    content = dumped(payload(random), random)
    return refused_by_all(
        folder, random, repacked(lambda name, old: content if name.endswith("data.pkl") else old)
    )


@family.kind("TorchScript archive")
def script(folder: Path, random: Random) -> str:
    content = dumped(payload(random), random)
    more = {"constants.pkl": content, "code/__torch__.py": f"import os\nos.mkdir({EXECUTED!r})".encode()}
    return refused_by_all(
        folder, random, repacked(lambda name, old: content if name.endswith("data.pkl") else old, more)
    )


@family.kind("tar of before 0.1.10")
def tar(folder: Path, random: Random) -> str:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name in ("sys_info", "pickle", "storages", "tensors", f"../{EXECUTED}"):
            content = dumped(payload(random), random)
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return refused_by_all(folder, random, buffer.getvalue())


@family.kind("pickle in a NumPy file")
def numpy(folder: Path, random: Random) -> str:
    buffer = io.BytesIO()
    save = random.choice([np.save, np.savez])
    save(buffer, np.array([Call(os.system, f"touch {EXECUTED}")], dtype=object), allow_pickle=True)
    return refused_by_all(folder, random, buffer.getvalue())


@family.kind("opcodes at random")
def opcodes(folder: Path, random: Random) -> str:
    """Names of functions in the old notation, calls and jumps of the stack in any order."""
    parts = [
        b"cos\nsystem\n",
        b"cposix\nsystem\n",
        b"cbuiltins\nexec\n",
        b"ctorch.serialization\nos.system\n",
    ]
    parts += [
        b"(",
        b"t",
        b"R",
        b"0",
        b"2",
        b"}",
        b"]",
        b"b",
        b"o",
        b"\x81",
        b"\x93",
        b"Q",
        b"Pabc\n",
        b"\x85",
    ]
    parts += [
        f"S'touch {EXECUTED}'\n".encode(),
        b"i" + b"os\nsystem\n",
        b"p0\n",
        b"g0\n",
        b"s",
        b"u",
        b"a",
        b"e",
    ]
    middle = b"".join(random.choices(parts, k=random.randint(1, 30)))
    attack = b"cos\nsystem\n(S'touch " + EXECUTED.encode() + b"'\ntR" if random.random() < 0.5 else b""
    content = b"\x80\x02" + middle + attack + b"."
    data = repacked(lambda name, old: content if name.endswith("data.pkl") else old)
    return refused_by_all(folder, random, random.choice([content, data]))


@family.kind("nested deeply")
def deep(folder: Path, random: Random) -> str:
    depth = random.choice([2000, 100_000])
    content = random.choice([b"]" * depth + b"a" * (depth - 1), b"(" * depth + b"l" * depth])
    content = b"\x80\x02" + content + b"."
    return refused_by_all(
        folder, random, repacked(lambda name, old: content if name.endswith("data.pkl") else old)
    )


@family.kind("billions of entries")
def laughs(folder: Path, random: Random) -> str:
    """A list of ten times the list before it, and so on. In the file it takes a line."""
    value: list = [0]
    for _ in range(12):
        value = [value] * 10
    contents = deepcopy(samples.tensors())
    contents["stylegan2"][random.choice(["generator", "discriminator", "scalings"])] = value
    return refused_by_all(folder, random, saved(contents))


@family.kind("tensors outside of their storage")
def outside(folder: Path, random: Random) -> str:
    contents = deepcopy(samples.tensors())
    name = random.choice(list(contents["state_dict"]))
    storage = torch.zeros(16).untyped_storage()
    offset, size, stride = random.choice(
        [
            (0, (1 << 40,), (1,)),
            (1 << 40, (4,), (1,)),
            (0, (4,), (1 << 40,)),
            (0, (-4,), (1,)),
            (-8, (4,), (1,)),
            (8, (4,), (-1,)),
            (0, (1 << 32, 1 << 32), (0, 0)),
        ]
    )
    typed = torch.storage.TypedStorage(wrap_storage=storage, dtype=torch.float32, _internal=True)
    contents["state_dict"][name] = Call(
        torch._utils._rebuild_tensor_v2, typed, offset, size, stride, False, OrderedDict()
    )
    return refused_by_all(folder, random, saved(contents))


@family.kind("huge lengths")
def lengths(folder: Path, random: Random) -> str:
    code = random.choice([b"\x8d", b"\x8e", b"\x96", b"B", b"X", b"\x8b", b"\x95"])
    size = (
        struct.pack("<Q", random.choice([2**62, 2**34]))
        if code in b"\x8d\x8e\x96\x95"
        else b"\xff\xff\xff\x7f"
    )
    content = b"\x80\x05" + code + size + b"abc."
    data = repacked(lambda name, old: content if name.endswith("data.pkl") else old)
    return refused_by_all(folder, random, random.choice([content, data]))


@family.kind("other values in a sound checkpoint")
def values(folder: Path, random: Random) -> str:
    contents = deepcopy(samples.tensors())
    wrong = random.choice(
        [None, "x", -1, 2**70, [], {}, [[1]], float("nan"), "../../x", b"x", {"class_path": "os"}]
    )
    key = random.choice(["generator", "discriminator", "scalings"])
    field = random.choice(list(contents["stylegan2"][key]))
    if random.random() < 0.3:
        contents["stylegan2"][key] = wrong
    else:
        contents["stylegan2"][key][field] = wrong if wrong != contents["stylegan2"][key][field] else object
    path = folder / "last.ckpt"
    try:
        torch.save(contents, path)
    except Exception:  # as above
        contents["stylegan2"][key][field] = b"x"
        torch.save(contents, path)
    first = samples.refused(lambda: native.read(path), lambda _: "read")
    return f"{samples.refused(lambda: load_generator(path), lambda _: 'read')} or {first}".replace(
        "refused or refused", "refused"
    ).replace("read or read", "read")
