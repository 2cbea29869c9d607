"""Sound pixels with metadata that turns or colors them, or that is broken or huge."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path
from random import Random

from PIL import PngImagePlugin, features

from . import samples
from .areas import COLORS, OTHERS, Color, any_size, areas, check
from .formats import chunk, red_is_blue
from .images import LOSSY
from .runner import Family
from .samples import encoded

family = Family(
    name="metadata",
    tried="a sound image with metadata",
    holds="training gets the right colors, turned and colored as sound metadata says and as if broken metadata "
    "were not there",
    count=102,
    prepare=samples.prepare,
)

FIRST_ROW_AND_COLUMN = {
    1: ("top", "left"),
    2: ("top", "right"),
    3: ("bottom", "right"),
    4: ("bottom", "left"),
    5: ("left", "top"),
    6: ("right", "top"),
    7: ("right", "bottom"),
    8: ("left", "bottom"),
}
"""Where the first stored row and column belong, by the orientation (EXIF 2.32, table 6)."""

FORMATS = {"JPEG": ".jpg", "PNG": ".png", "TIFF": ".tif"} | (
    {"WEBP": ".webp"} if features.check("webp") else {}
)


def upright(stored: Sequence[Color], orientation: int) -> list[Color]:
    """The colors of the areas as they are to be seen."""
    row, column = FIRST_ROW_AND_COLUMN[orientation]
    seen: dict[tuple[int, int], Color] = {}
    for r in range(2):
        for c in range(2):
            place = {}
            for side, index in ((row, r), (column, c)):
                place["y" if side in ("top", "bottom") else "x"] = (
                    index if side in ("top", "left") else 1 - index
                )
            seen[place["y"], place["x"]] = stored[2 * r + c]
    return [seen[y, x] for y in range(2) for x in range(2)]


def exif(value: int, kind: int = 3, count: int = 1, order: str = "<", tag: int = 0x0112) -> bytes:
    """EXIF data with one tag, by default the orientation."""
    header = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}I", 8)
    content = struct.pack(f"{order}HH", value, 0) if kind == 3 else struct.pack(f"{order}I", value)
    entry = struct.pack(f"{order}HHI", tag, kind, count) + content
    return b"Exif\0\0" + header + struct.pack(f"{order}H", 1) + entry + bytes(4)


def segment(data: bytes, marker: int, content: bytes) -> bytes:
    """A JPEG with one more segment at its start."""
    return data[:2] + bytes([0xFF, marker]) + struct.pack(">H", len(content) + 2) + content + data[2:]


def jpeg(random: Random) -> bytes:
    return encoded(areas(COLORS, any_size(random), "RGB"), "JPEG", quality=90)


def written(random: Random, **options: object) -> tuple[str, bytes]:
    """A file name, and an image of one of the formats that hold such metadata."""
    format = random.choice(list(FORMATS))
    return f"image{FORMATS[format]}", encoded(areas(COLORS, any_size(random), "RGB"), format, **options)


def broken_exif(random: Random) -> bytes:
    sound = exif(6)
    return random.choice(
        [
            b"Exif\0\0" + random.randbytes(random.randint(0, 200)),
            sound[: random.randint(6, 20)],
            b"Exif\0\0II*\0\xff\xff\xff\xff" + sound[14:],
            exif(99),
            exif(0),
            exif(6, count=0),
            exif(6, kind=77),
            b"Exif\0\0XX*\0" + sound[10:],
            sound[:14] + b"\xff\xff" + sound[16:],
        ]
    )


@family.kind("orientation")
def orientation(folder: Path, random: Random) -> str:
    number = random.randint(1, 8)
    name, data = written(random, exif=exif(number, order=random.choice("<>")))
    return check(folder / name, data, upright(COLORS, number), tolerance=LOSSY)


@family.kind("broken EXIF")
def broken(folder: Path, random: Random) -> str:
    """Some programs read an orientation out of it, and some do not."""
    data = segment(jpeg(random), 0xE1, broken_exif(random))
    return check(folder / "image.jpg", data, COLORS, upright(COLORS, 6), tolerance=LOSSY)


@family.kind("broken EXIF in a PNG or WebP")
def broken_elsewhere(folder: Path, random: Random) -> str:
    formats = [format for format in FORMATS if format in ("PNG", "WEBP")]
    format = random.choice(formats)
    image = areas(COLORS, any_size(random), "RGB")
    data = encoded(image, format, exif=broken_exif(random))
    return check(folder / f"image{FORMATS[format]}", data, COLORS, upright(COLORS, 6), tolerance=LOSSY)


@family.kind("spoilt EXIF")
def spoilt(folder: Path, random: Random) -> str:
    content = bytearray(exif(6))
    for _ in range(random.randint(1, 4)):
        content[random.randrange(6, len(content))] = random.randrange(256)
    data = segment(jpeg(random), 0xE1, bytes(content))
    every = [upright(COLORS, number) for number in FIRST_ROW_AND_COLUMN]
    return check(folder / "image.jpg", data, *every, tolerance=LOSSY)


@family.kind("EXIF of an unusual type")
def unusual(folder: Path, random: Random) -> str:
    """With several values, they are read from elsewhere in the EXIF data."""
    kind, count = random.choice([1, 2, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13]), random.choice([1, 9])
    data = segment(jpeg(random), 0xE1, exif(6, kind=kind, order=random.choice("<>"), count=count))
    every = [upright(COLORS, number) for number in ([1, 6] if count == 1 else FIRST_ROW_AND_COLUMN)]
    return check(folder / "image.jpg", data, *every, tolerance=LOSSY)


@family.kind("EXIF twice")
def twice(folder: Path, random: Random) -> str:
    data = segment(segment(jpeg(random), 0xE1, exif(3)), 0xE1, broken_exif(random))
    return check(folder / "image.jpg", data, COLORS, upright(COLORS, 3), upright(COLORS, 6), tolerance=LOSSY)


@family.kind("XMP, broken")
def xmp(folder: Path, random: Random) -> str:
    head = b"http://ns.adobe.com/xap/1.0/\0"
    bodies = [
        b"<x:xmpmeta",
        random.randbytes(300),
        b"\xff\xfe",
        b"<!DOCTYPE x [<!ENTITY a 'aaaa'>]><x>&a;</x>",
        b"",
    ]
    bodies += [b"<a>" * 10_000, b'tiff:Orientation="x"', b"<tiff:Orientation>\xff</tiff:Orientation>"]
    content = random.choice(bodies)
    if random.random() < 0.3 and "WEBP" in FORMATS:
        image = areas(COLORS, any_size(random), "RGB")
        return check(folder / "image.webp", encoded(image, "WEBP", xmp=content), COLORS, tolerance=LOSSY)
    return check(folder / "image.jpg", segment(jpeg(random), 0xE1, head + content), COLORS, tolerance=LOSSY)


@family.kind("color profile")
def profile(folder: Path, random: Random) -> str:
    """In this profile of other colors, red is blue."""
    name, data = written(random, icc_profile=red_is_blue())
    colors = [(b, g, r, alpha) for r, g, b, alpha in COLORS]
    return check(folder / name, data, colors, tolerance=LOSSY)


@family.kind("color profile, broken")
def broken_profile(folder: Path, random: Random) -> str:
    sound = red_is_blue()
    content = random.choice(
        [
            random.randbytes(random.randint(1, 5000)),
            sound[: random.randrange(1, 128)],
            sound[:128] + random.randbytes(len(sound) - 128),
            sound[:16] + b"XXXX" + sound[20:],
            b"\0" * 500,
        ]
    )
    name, data = written(random, icc_profile=content)
    return check(folder / name, data, COLORS, tolerance=LOSSY)


@family.kind("color profile of other colors than the image")
def foreign_profile(folder: Path, random: Random) -> str:
    content = red_is_blue()
    space = random.choice([b"CMYK", b"GRAY", b"Lab ", b"XYZ "])
    name, data = written(random, icc_profile=content[:16] + space + content[20:])
    return check(folder / name, data, COLORS, tolerance=LOSSY)


def with_chunks(random: Random, *chunks: bytes) -> bytes:
    """A PNG with more chunks after its header."""
    data = encoded(areas(COLORS, any_size(random), "RGB"))
    return data[:33] + b"".join(chunks) + data[33:]


@family.kind("PNG, huge text")
def text(folder: Path, random: Random) -> str:
    length = random.choice([2, 20, 100]) << 20
    packed = zlib.compress(bytes(length), 1)
    content = random.choice(
        [b"zTXtx\0\0" + packed, b"iTXtx\0\1\0\0\0" + packed, b"tEXtx\0" + b"x" * (4 << 20)]
    )
    return check(folder / "image.png", with_chunks(random, chunk(content[:4], content[4:])), COLORS)


@family.kind("PNG, very many texts")
def texts(folder: Path, random: Random) -> str:
    info = PngImagePlugin.PngInfo()
    for k in range(random.choice([10, 3000])):
        info.add_text(f"key {k}", "x" * random.choice([10, 30_000 if k < 100 else 10]))
    return check(folder / "image.png", encoded(areas(COLORS, any_size(random), "RGB"), pnginfo=info), COLORS)


@family.kind("PNG, broken chunks beside the pixels")
def chunks(folder: Path, random: Random) -> str:
    names = [
        b"iCCP",
        b"eXIf",
        b"gAMA",
        b"cHRM",
        b"pHYs",
        b"tIME",
        b"sRGB",
        b"iTXt",
        b"zTXt",
        b"acTL",
        b"prVt",
    ]
    more = [chunk(name, random.randbytes(random.randint(0, 40))) for name in random.sample(names, 3)]
    return check(folder / "image.png", with_chunks(random, *more), COLORS)


@family.kind("JPEG, very many segments")
def segments(folder: Path, random: Random) -> str:
    data = jpeg(random)
    for _ in range(random.choice([10, 100])):
        data = segment(
            data, random.choice([0xFE, 0xE2, 0xED, 0xEC, 0xE5]), random.randbytes(random.choice([9, 65_000]))
        )
    return check(folder / "image.jpg", data, COLORS, tolerance=LOSSY)


@family.kind("bytes after the image")
def after(folder: Path, random: Random) -> str:
    name, data = written(random)
    return check(folder / name, data + random.randbytes(random.randint(1, 3000)), COLORS, tolerance=LOSSY)


@family.kind("MPO, broken second picture")
def mpo(folder: Path, random: Random) -> str:
    size = any_size(random)
    buffer = io.BytesIO()
    more = [areas(OTHERS, size, "RGB")]
    areas(COLORS, size, "RGB").save(buffer, "MPO", save_all=True, append_images=more, quality=90)
    data = bytearray(buffer.getvalue())
    second = data.rfind(b"\xff\xd8\xff")
    if random.random() < 0.5:
        data[second:] = random.randbytes(len(data) - second)
    else:
        del data[second + random.randint(0, 100) :]
    return check(folder / random.choice(["image.mpo", "image.jpg"]), bytes(data), COLORS, tolerance=LOSSY)


@family.kind("TIFF, broken tags beside the pixels")
def tags(folder: Path, random: Random) -> str:
    data = bytearray(
        encoded(areas(COLORS, any_size(random), "RGB"), "TIFF", icc_profile=red_is_blue(), dpi=(72, 72))
    )
    start = struct.unpack_from("<I", data, 4)[0]
    count = struct.unpack_from("<H", data, start)[0]
    for at in range(start + 2, start + 2 + 12 * count, 12):
        if struct.unpack_from("<H", data, at)[0] == 34675:  # the color profile
            field = random.choice([2, 4, 8])
            data[at + field : at + field + 2] = random.randbytes(2)
    colors = [(b, g, r, alpha) for r, g, b, alpha in COLORS]
    return check(folder / "image.tif", bytes(data), COLORS, colors, tolerance=LOSSY)
