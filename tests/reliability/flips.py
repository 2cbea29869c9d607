"""Files in which bits have flipped or blocks are lost, as on a failing disk."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from random import Random

import torch

from . import samples
from .cuts import FORMATS
from .runner import Family

family = Family(
    name="flips",
    tried="a file with spoilt bytes",
    holds="the file is refused with a message, or what is loaded is equal to what was written (for images "
    "without checksums: it has the right shape)",
    count=170,
    prepare=samples.prepare,
)


def flip(data: bytearray, random: Random) -> None:
    data[random.randrange(len(data))] ^= 1 << random.randrange(8)


def flip_several(data: bytearray, random: Random) -> None:
    for _ in range(random.randint(2, 100)):
        flip(data, random)


def block(data: bytearray, random: Random) -> slice:
    """A block of a disk, of at most half of the file."""
    size = min(random.choice([64, 512, 4096]), len(data) // 2)
    start = random.randrange(len(data) // size) * size
    return slice(start, start + size)


def zero_block(data: bytearray, random: Random) -> None:
    where = block(data, random)
    data[where] = bytes(len(data[where]))


def random_block(data: bytearray, random: Random) -> None:
    where = block(data, random)
    data[where] = random.randbytes(len(data[where]))


def swap_blocks(data: bytearray, random: Random) -> None:
    size = min(512, len(data) // 2)
    a, b = (random.randrange(len(data) // size) * size for _ in range(2))
    data[a : a + size], data[b : b + size] = data[b : b + size], data[a : a + size]


def lose_byte(data: bytearray, random: Random) -> None:
    del data[random.randrange(len(data))]


def append(data: bytearray, random: Random) -> None:
    data += random.randbytes(random.randint(1, 5000))


SPOILT: dict[str, Callable[[bytearray, Random], None]] = {
    "one flipped bit": flip,
    "flipped bits": flip_several,
    "zeroed block": zero_block,
    "random block": random_block,
    "swapped blocks": swap_blocks,
    "lost byte": lose_byte,
    "appended bytes": append,
}


def checkpoint(spoil: Callable[[bytearray, Random], None], folder: Path, random: Random) -> str:
    data = bytearray(samples.checkpoint())
    spoil(data, random)
    path = folder / "last.ckpt"
    path.write_bytes(data)
    return samples.read_checkpoint(path)


for _name, _spoil in SPOILT.items():
    family.kind(f"checkpoint, {_name}")(
        lambda folder, random, spoil=_spoil: checkpoint(spoil, folder, random)
    )


@family.kind("zip of images")
def archive(folder: Path, random: Random) -> str:
    images = {f"{k}.png": samples.encoded(samples.noise(random)) for k in range(3)}
    path = folder / "photos.zip"
    path.write_bytes(samples.zip_of(images))
    before = samples.pictures(path)
    data = bytearray(path.read_bytes())
    random.choice(list(SPOILT.values()))(data, random)
    path.write_bytes(data)

    def pixels(found: dict[str, torch.Tensor]) -> str:  # the names have no checksum
        expected = list(before.values())
        assert all(any(torch.equal(image, other) for other in expected) for image in found.values())
        return "read as it was" if found.keys() == before.keys() else "read under another name"

    return samples.refused(lambda: samples.pictures(path), pixels)


def image(format: str, folder: Path, random: Random) -> str:
    path = folder / f"image{FORMATS[format]}"
    data = bytearray(samples.encoded(samples.noise(random), format))
    path.write_bytes(data)
    before = samples.pictures(folder)[path.name]
    random.choice(list(SPOILT.values()))(data, random)
    path.write_bytes(data)

    def plausible(images: dict[str, torch.Tensor]) -> str:
        found = images[path.name]
        assert found.shape == before.shape and found.dtype == before.dtype
        if torch.equal(found, before):
            return "read as it was"
        assert format != "PNG", "other pixels were read in spite of the checksums of a PNG"
        return "read with other pixels"

    return samples.refused(lambda: samples.pictures(folder), plausible)


for _format in FORMATS:
    family.kind(f"{_format} image")(lambda folder, random, format=_format: image(format, folder, random))
