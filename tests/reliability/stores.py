"""Damaged databases, pickles and shards: LMDB, CIFAR as it is published, and what `pack --shards` writes."""

from __future__ import annotations

import io
import json
import pickle
from collections.abc import Callable
from pathlib import Path
from random import Random

import numpy as np
import torch
from PIL import Image

from stylegan2.tools.pack import pack

from . import samples
from .flips import SPOILT
from .runner import EXECUTED, Family

family = Family(
    name="stores",
    tried="a data set",
    holds="it is refused with a message, or what is read of it is part of what was written, and no code of it runs "
    "(for CIFAR's pickles, which have no checksums: it has the right shape)",
    count=100,
    prepare=samples.prepare,
)


SIDE = 32
"""Height and width of all images."""


class Hostile:
    """A pickle of it writes a file when it is executed."""

    def __reduce__(self) -> tuple[Callable[..., object], tuple[str, str]]:
        return open, (EXECUTED, "w")


def spoil(path: Path, random: Random) -> None:
    """Damage a file, or cut it off."""
    data = bytearray(path.read_bytes())
    kinds: list[Callable[[bytearray, Random], None]] = [*SPOILT.values(), cut]
    random.choice(kinds)(data, random)
    path.write_bytes(data)


def cut(data: bytearray, random: Random) -> None:
    del data[random.randrange(len(data)) :]


def images_in(path: Path) -> list[torch.Tensor]:
    return list(samples.pictures(path, resolution=SIDE).values())


def read_spoilt(path: Path, written: list[torch.Tensor]) -> str:
    """Read a spoilt data set whose images have checksums, as PNGs have."""

    def part_of_it(images: list[torch.Tensor]) -> str:
        assert all(any(torch.equal(image, other) for other in written) for image in images), (
            "other pixels were read"
        )
        return "read as it was" if len(images) == len(written) else "read in part"

    return samples.refused(lambda: images_in(path), part_of_it)


# ---- CIFAR


def cifar(folder: Path, random: Random) -> Path:
    """CIFAR-10's folder, with two images in each file."""
    root = folder / "cifar-10-batches-py"
    root.mkdir()
    for name in [*(f"data_batch_{k}" for k in range(1, 6)), "test_batch"]:
        data = np.frombuffer(random.randbytes(2 * 3072), np.uint8).reshape(2, 3072)
        batch = {"labels": [random.randrange(10) for _ in data], "data": data}
        (root / name).write_bytes(pickle.dumps(batch, random.choice([2, 3, 4, 5])))
    names = {"label_names": [f"class {k}" for k in range(10)]}
    (root / "batches.meta").write_bytes(pickle.dumps(names, 2))
    return root


@family.kind("CIFAR, a spoilt pickle")
def spoilt_cifar(folder: Path, random: Random) -> str:
    root = cifar(folder, random)
    written = images_in(root)
    spoil(random.choice([*root.glob("data_batch_*"), root / "batches.meta"]), random)

    def plausible(images: list[torch.Tensor]) -> str:
        assert all(image.shape == (3, 32, 32) and image.dtype == torch.uint8 for image in images)
        same = len(images) == len(written) and all(any(torch.equal(a, b) for b in written) for a in images)
        return "read as it was" if same else "read with other pixels"

    return samples.refused(lambda: images_in(root), plausible)


@family.kind("CIFAR, code in a pickle")
def hostile_cifar(folder: Path, random: Random) -> str:
    root = cifar(folder, random)
    pixels = np.zeros((2, 3072), np.uint8)
    content = random.choice(
        [
            Hostile(),
            {"labels": [0, 1], "data": Hostile()},
            {"labels": [0, Hostile()], "data": pixels},
            {"labels": Hostile(), "data": pixels},
            [Hostile()],
        ]
    )
    path = root / f"data_batch_{random.randint(1, 5)}"
    path.write_bytes(pickle.dumps(content, random.choice([2, 3, 4, 5])))
    return samples.refused(lambda: images_in(random.choice([root, path])))


# ---- LMDB


def database(folder: Path, values: dict[str, bytes]) -> Path:
    import lmdb

    path = folder / "set.lmdb"
    with (
        lmdb.Environment(str(path), map_size=1 << 24, subdir=False) as env,
        env.begin(write=True) as transaction,
    ):
        for name, value in values.items():
            transaction.put(name.encode(), value)
    return path


@family.kind("LMDB, a spoilt file")
def spoilt_database(folder: Path, random: Random) -> str:
    values = {f"{k:03}": samples.encoded(samples.noise(random, SIDE, SIDE)) for k in range(6)}
    images = [np.array(Image.open(io.BytesIO(value))) for value in values.values()]
    written = [torch.from_numpy(image).permute(2, 0, 1) for image in images]
    path = database(folder, values)
    spoil(path, random)
    return read_spoilt(path, written)


@family.kind("LMDB, pickles as values")
def hostile_database(folder: Path, random: Random) -> str:
    count, protocol = random.randint(1, 5), random.choice([2, 4, 5])
    path = database(folder, {str(k): pickle.dumps([Hostile()], protocol) for k in range(count)})
    return samples.refused(lambda: images_in(path))


# ---- shards


def shards(folder: Path, random: Random) -> tuple[Path, list[torch.Tensor]]:
    """A folder of shards, and its images."""
    images = folder / "photos"
    images.mkdir()
    for k in range(6):
        (images / f"{k}.png").write_bytes(samples.encoded(samples.noise(random, SIDE, SIDE)))
    pack(str(images), str(folder / "shards"), SIDE, shards="1MB")
    return folder / "shards", images_in(folder / "shards")


@family.kind("shards, a spoilt chunk")
def spoilt_chunk(folder: Path, random: Random) -> str:
    root, written = shards(folder, random)
    spoil(random.choice(list(root.glob("*.bin"))), random)
    return read_spoilt(root, written)


@family.kind("shards, a spoilt index")
def spoilt_index(folder: Path, random: Random) -> str:
    root, written = shards(folder, random)
    spoil(root / "index.json", random)
    return read_spoilt(root, written)


@family.kind("shards, another file in the index")
def hostile_index(folder: Path, random: Random) -> str:
    root, written = shards(folder, random)
    index = json.loads((root / "index.json").read_text(encoding="utf-8"))
    (folder / "secret").write_bytes(random.randbytes(500))
    chunk = random.choice(index["chunks"])
    chunk["filename"] = random.choice(
        ["../secret", str(folder / "secret"), "missing.bin", "", "index.json", 7, None]
    )
    (root / "index.json").write_text(json.dumps(index), encoding="utf-8")
    return samples.refused(lambda: images_in(root))
