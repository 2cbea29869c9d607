"""Zips made to harm whoever opens them."""

from __future__ import annotations

import contextlib
import io
import os
import struct
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from random import Random

import torch

from stylegan2.tools.pack import pack

from . import samples
from .runner import EIGHTH_OF_MEMORY, EXECUTED, Family

family = Family(
    name="zips",
    tried="a hostile zip",
    holds="it is refused with a message, or the sound images in it are read as they are; nothing is written "
    "outside, and little memory and time are taken",
    count=140,
    prepare=samples.prepare,
)

RED = samples.encoded(samples.Image.new("RGB", (8, 8), "red"))
BLUE = samples.encoded(samples.Image.new("RGB", (8, 8), "blue"))
SOUND = {"a/0.png": RED, "b/1.png": RED}
"""The sound images in every zip: red ones. Hostile files hold blue ones."""

LOCAL, CENTRAL, END = b"PK\3\4", b"PK\1\2", b"PK\5\6"
"""The signatures of the header of a file, of its entry in the directory, and of the end."""


def patched(data: bytes, name: str, local: int, central: int, format: str, value: int) -> bytes:
    """A zip in which a field of one file is replaced, at these offsets in its header and in its entry."""
    result, at = bytearray(data), 0
    for signature, offset, start in ((LOCAL, local, 30), (CENTRAL, central, 46)):
        while (at := data.find(signature, at)) >= 0:
            if data[at + start : at + start + len(name)] == name.encode():
                struct.pack_into(f"<{format}", result, at + offset, value)
            at += 1
        at = 0
    return bytes(result)


def all_sound(images: dict[str, torch.Tensor]) -> str:
    """Every sound image is there, and red."""
    red = [name for name, image in images.items() if (image[0] == 255).all() and not image[1:].any()]
    for name in SOUND:
        assert any(found.endswith(name) for found in red), f"{name} is not read as it is"
    return "read"


@contextlib.contextmanager
def nothing_outside(folder: Path) -> Iterator[Path]:
    """A folder to work in, several folders deep. Assert that nothing changes around it."""
    inside = folder / "one/two/three"
    inside.mkdir(parents=True)
    with samples.nothing_written(folder):
        yield inside


def read(folder: Path, data: bytes) -> str:
    """Open a zip, read every image in it, and pack it. The packed zip must hold no name that leads outside."""
    with nothing_outside(folder) as inside:
        path, packed = inside / "photos.zip", inside / "packed.zip"
        path.write_bytes(data)
        os.chdir(inside)
        how = samples.refused(lambda: samples.pictures(path), all_sound)
        if how != "refused":
            samples.refused(lambda: pack(str(path), str(packed), 8), lambda _: "packed")
            names = zipfile.ZipFile(packed).namelist() if packed.exists() else []
            wrong = [
                name for name in names if os.path.isabs(name) or ".." in name.replace("\\", "/").split("/")
            ]
            assert not wrong, f"pack writes the name {wrong[0]!r}"
        for own in (path, *inside.glob("packed.zip*")):  # the zip, its page, and what a refused one has begun
            own.unlink()
    return how


def names(folder: Path, random: Random, hostile: list[str]) -> str:
    chosen = random.sample(hostile, random.randint(1, len(hostile)))
    return read(folder, samples.zip_of(SOUND | dict.fromkeys(chosen, BLUE)))


@family.kind("paths to parents")
def parents(folder: Path, random: Random) -> str:
    name = random.choice([EXECUTED, "evil.png"])
    up = [f"{'../' * depth}{name}" for depth in (1, 2, 3, 9)]
    return names(folder, random, [*up, f"a/../../{name}", f"..\\..\\{name}", f"./.././../{name}", ".."])


@family.kind("absolute paths")
def absolute(folder: Path, random: Random) -> str:
    return names(folder, random, [f"{folder}/{EXECUTED}", f"{folder}/evil.png", "/evil.png", "//evil.png"])


@family.kind("names of Windows")
def windows(folder: Path, random: Random) -> str:
    return names(
        folder,
        random,
        ["C:\\evil.png", "c:/evil.png", "\\\\host\\share\\evil.png", "a\\2.png", "CON.png", "NUL"],
    )


@family.kind("control characters in names")
def control(folder: Path, random: Random) -> str:
    names_ = [
        "new\nline.png",
        "\x1b[2J.png",
        "tab\t.png",
        "\u202egnp.exe",
        "<script>.png",
        " .png",
        "\ufeff.png",
    ]
    return names(folder, random, names_)


@family.kind("names that are no text")
def no_text(folder: Path, random: Random) -> str:
    data = samples.zip_of(SOUND | {"XXXXXXXX.png": BLUE})
    return read(folder, data.replace(b"XXXXXXXX", random.randbytes(8)))


@family.kind("names that are long or deep")
def long(folder: Path, random: Random) -> str:
    return names(folder, random, [f"{'x' * 65000}.png", f"{'d/' * 30000}x.png", f"{'ü' * 300}.png"])


@family.kind("two files of one name")
def duplicates(folder: Path, random: Random) -> str:
    buffer = io.BytesIO(samples.zip_of(SOUND))
    with zipfile.ZipFile(buffer, "a") as archive, samples.warnings.catch_warnings():
        samples.warnings.simplefilter("ignore")
        name = random.choice(["c/2.png", "dataset.json"])
        for content in random.sample([BLUE, b"", b"other", RED], 3):
            archive.writestr(name, content)
    return read(folder, buffer.getvalue())


@family.kind("a name that is a file and a folder")
def file_and_folder(folder: Path, random: Random) -> str:
    return names(
        folder, random, ["c.png/0.png", "c.png", "c.png/", "C/0.PNG", "c/0.png", "c//0.png", "c/./0.png"]
    )


@family.kind("a huge stated size")
def stated_size(folder: Path, random: Random) -> str:
    data = samples.zip_of(SOUND | {"evil.png": BLUE})
    local, central = random.choice([(22, 24), (18, 20)])  # of the content, or as compressed
    return read(folder, patched(data, "evil.png", local, central, "I", random.choice([2**32 - 2, 2**31])))


@family.kind("a bomb", megabytes=EIGHTH_OF_MEMORY)
def bomb(folder: Path, random: Random) -> str:
    """An image file of zeros: a megabyte of them, compressed once and repeated."""
    megabytes = random.choice([1000, 4095])
    compressor = zlib.compressobj(9, zlib.DEFLATED, -15)
    first = compressor.compress(bytes(1 << 20)) + compressor.flush(zlib.Z_FULL_FLUSH)
    stream = first * megabytes + zlib.compressobj(9, zlib.DEFLATED, -15).flush()
    data = samples.zip_of(SOUND | {"evil.png": stream})
    for local, central, format, value in (
        (8, 10, "H", zipfile.ZIP_DEFLATED),
        (22, 24, "I", random.choice([megabytes << 20, 1000])),
        (14, 16, "I", 0),
    ):
        data = patched(data, "evil.png", local, central, format, value)
    return read(folder, data)


@family.kind("an image bomb")
def image_bomb(folder: Path, random: Random) -> str:
    """A PNG of a few kilobytes that states billions of pixels."""
    side = random.choice([50_000, 2**31 - 1])
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(bytes(1 << 20))), (b"IEND", b""))
    png = b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        for kind, content in chunks
    )
    return read(folder, samples.zip_of(SOUND | {"evil.png": png}))


@family.kind("an encrypted file")
def encrypted(folder: Path, random: Random) -> str:
    name = random.choice(["evil.png", "dataset.json"])
    return read(folder, patched(samples.zip_of(SOUND | {name: BLUE}), name, 6, 8, "H", 0x1))


@family.kind("an unknown compression")
def compression(folder: Path, random: Random) -> str:
    method = random.choice([1, 6, 9, 12, 14, 93, 95, 98, 99, 65535])
    return read(folder, patched(samples.zip_of(SOUND | {"evil.png": BLUE}), "evil.png", 8, 10, "H", method))


@family.kind("zips in zips")
def nested(folder: Path, random: Random) -> str:
    data = samples.zip_of(SOUND)
    for _ in range(random.randint(1, 40)):
        data = samples.zip_of(SOUND | {random.choice(["inner.zip", "inner.png"]): data})
    return read(folder, data)


@family.kind("links")
def links(folder: Path, random: Random) -> str:
    buffer = io.BytesIO(samples.zip_of(SOUND))
    with zipfile.ZipFile(buffer, "a") as archive:
        for k, target in enumerate(["/etc/passwd", "../../..", "a/0.png", "link0.png"]):
            info = zipfile.ZipInfo(f"link{k}.png")
            info.create_system, info.external_attr = 3, 0o120777 << 16
            archive.writestr(info, target)
    return read(folder, buffer.getvalue())


@family.kind("a false directory")
def directory(folder: Path, random: Random) -> str:
    """Numbers and offsets at the end of the zip that are not true."""
    data = bytearray(samples.zip_of(SOUND))
    end = data.rfind(END)
    offset, format = random.choice([(4, "H"), (6, "H"), (8, "H"), (10, "H"), (12, "I"), (16, "I"), (20, "H")])
    struct.pack_into(f"<{format}", data, end + offset, random.getrandbits(16 if format == "H" else 32))
    return read(folder, bytes(data))


@family.kind("files that overlap")
def overlapping(folder: Path, random: Random) -> str:
    data = samples.zip_of(SOUND | {f"evil{k:03}.png": BLUE for k in range(100)})
    at = data.find(CENTRAL)
    result, target = bytearray(data), data.find(LOCAL, random.randrange(1, at // 2))
    while (at := data.find(CENTRAL, at)) >= 0:
        if data[at + 46 : at + 50] == b"evil":
            struct.pack_into("<I", result, at + 42, target)
        at += 1
    return read(folder, bytes(result))


@family.kind("very many files")
def many(folder: Path, random: Random) -> str:
    return read(
        folder, samples.zip_of(SOUND | {f"x/{k}.txt": b"" for k in range(random.choice([100, 20_000]))})
    )


@family.kind("other bytes before and after")
def around(folder: Path, random: Random) -> str:
    before, after = (
        random.randbytes(random.choice([0, 1000])),
        random.randbytes(random.choice([0, 1000, 70_000])),
    )
    return read(folder, before + samples.zip_of(SOUND) + after)


@family.kind("no zip at all")
def no_zip(folder: Path, random: Random) -> str:
    empty = b"PK\5\6" + bytes(18)
    gzip = b"\x1f\x8b\x08" + random.randbytes(500)
    data = random.choice(
        [b"", b"PK", empty, random.randbytes(5000), gzip, b"7z\xbc\xaf\x27\x1c" + bytes(100)]
    )
    return read(folder, data)
