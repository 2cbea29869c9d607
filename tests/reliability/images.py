"""Images of every kind that PIL reads."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from PIL import Image, features

from . import samples
from .areas import BLACK_AND_WHITE, CLEAR, COLORS, GRAYS, HALF, OTHERS, Color, any_size, areas, check, spread
from .formats import png
from .runner import Family
from .samples import encoded

family = Family(
    name="images",
    tried="an image file",
    holds="training gets its colors in the right places, with 1, 3 and 4 channels (an image of more than 16 bits "
    "per channel may be refused with a message)",
    count=94,
    prepare=samples.prepare,
)

LOSSY = 14
"""Levels of 255 by which a lossy format may differ."""

Made = tuple[bytes, Sequence[Color]]
"""The content of a file, and the colors of its four areas."""


def kind(name: str, extension: str, tolerance: int = 4, megabytes: int = 500) -> Callable:
    """A decorator that makes a kind of cases of a function that makes an image file of a size."""

    def register(make: Callable[[Random, tuple[int, int]], Made]) -> Callable:
        def attempt(folder: Path, random: Random) -> str:
            data, colors = make(random, any_size(random))
            upper = random.random() < 0.2
            return check(
                folder / f"image{extension.upper() if upper else extension}",
                data,
                colors,
                tolerance=tolerance,
            )

        family.kind(name, megabytes)(attempt)
        return make

    return register


def simple(
    name: str,
    format: str,
    extension: str,
    mode: str,
    colors: Sequence[Color],
    tolerance: int = 4,
    **options: Any,
) -> None:
    """A kind of cases that PIL writes without further ado."""
    kind(name, extension, tolerance)(
        lambda random, size: (encoded(areas(colors, size, mode), format, **options), colors)
    )


# ---- PNG

for _mode, _colors in {
    "1": BLACK_AND_WHITE,
    "L": GRAYS,
    "LA": [*GRAYS[:2], (160, 160, 160, 128), (240, 240, 240, 0)],
    "RGB": COLORS,
    "RGBA": HALF,
}.items():
    simple(f"PNG, {_mode}", "PNG", ".png", _mode, _colors)


def indexed(size: tuple[int, int], colors: Sequence[Color] = COLORS) -> Image.Image:
    """A palette image of four areas."""
    image = Image.fromarray(spread([0, 1, 2, 3], size), "P")
    image.putpalette([value for color in colors for value in color[:3]])
    return image


@kind("PNG, palette", ".png")
def palette(random: Random, size: tuple[int, int]) -> Made:
    return encoded(indexed(size), bits=random.choice([2, 4, 8])), COLORS


@kind("PNG, palette with a transparent color", ".png")
def palette_key(random: Random, size: tuple[int, int]) -> Made:
    return encoded(indexed(size), bits=random.choice([2, 4, 8]), transparency=3), CLEAR


@kind("PNG, palette with alpha", ".png")
def palette_alpha(random: Random, size: tuple[int, int]) -> Made:
    return encoded(indexed(size), transparency=bytes([255, 255, 128, 0])), HALF


@kind("PNG, transparent color", ".png")
def color_key(random: Random, size: tuple[int, int]) -> Made:
    if random.random() < 0.5:
        return encoded(areas(COLORS, size, "RGB"), transparency=COLORS[3][:3]), CLEAR
    return encoded(areas(GRAYS, size, "L"), transparency=240), [*GRAYS[:3], (240, 240, 240, 0)]


@kind("PNG, gray of 1, 2 or 4 bits", ".png")
def few_bits(random: Random, size: tuple[int, int]) -> Made:
    depth = random.choice([1, 2, 4])
    top = 2**depth - 1
    values = [0, top, top // 2, min(1, top)]
    colors = [(round(255 * v / top),) * 3 + (255,) for v in values]
    chunks = []
    if random.random() < 0.5:
        chunks, colors = (
            [(b"tRNS", top.to_bytes(2, "big"))],
            [(*color[:3], 0 if v == top else 255) for color, v in zip(colors, values)],
        )
    return png(spread(values, size)[..., None], 0, depth, chunks), colors


@kind("PNG, gray of 16 bits, transparent color", ".png")
def gray16(random: Random, size: tuple[int, int]) -> Made:
    """The third area differs from the transparent color in the lower eight bits only."""
    chunks = [(b"tRNS", (40_000).to_bytes(2, "big"))]
    data = png(spread([5_000, 20_000, 40_001, 40_000], size, np.uint16)[..., None], 0, 16, chunks)
    return data, [*[(round(v / 257),) * 3 + (255,) for v in (5_000, 20_000, 40_001)], (156, 156, 156, 0)]


@kind("PNG, RGB of 16 bits, transparent color", ".png")
def rgb16(random: Random, size: tuple[int, int]) -> Made:
    values = [[value * 257 for value in color[:3]] for color in COLORS]
    values[2] = [*values[3][:2], values[3][2] + 1]
    key = b"".join(value.to_bytes(2, "big") for value in values[3])
    data = png(spread(values, size, np.uint16), 2, 16, [(b"tRNS", key)], interlaced=random.random() < 0.3)
    return data, [*COLORS[:2], COLORS[3], CLEAR[3]]


@kind("PNG, RGBA of 16 bits", ".png")
def rgba16(random: Random, size: tuple[int, int]) -> Made:
    return png(spread([[v * 257 for v in color] for color in HALF], size, np.uint16), 6, 16), HALF


@kind("PNG, interlaced", ".png")
def interlaced(random: Random, size: tuple[int, int]) -> Made:
    if random.random() < 0.5:
        return png(spread([list(color) for color in HALF], size), 6, 8, interlaced=True), HALF
    return png(spread([list(color[:3]) for color in COLORS], size), 2, 8, interlaced=True), COLORS


# ---- animated: training gets the first picture


def animated(name: str, format: str, extension: str, tolerance: int = 4, **options: Any) -> None:
    @kind(name, extension, tolerance)
    def make(random: Random, size: tuple[int, int]) -> Made:
        more = [areas(OTHERS, size, "RGB") for _ in range(random.randint(1, 5))]
        return encoded(
            areas(COLORS, size, "RGB"), format, save_all=True, append_images=more, duration=40, **options
        ), COLORS


animated("GIF, animated", "GIF", ".gif")
animated("PNG, animated", "PNG", ".apng")
animated("TIFF, several pages", "TIFF", ".tiff")
animated("MPO, two pictures", "MPO", ".mpo", LOSSY, quality=90)

# ---- GIF, BMP, PPM

simple("GIF", "GIF", ".gif", "RGB", COLORS)


@kind("GIF, transparent color", ".gif")
def gif_key(random: Random, size: tuple[int, int]) -> Made:
    return encoded(indexed(size), "GIF", transparency=3), CLEAR


for _mode, _colors in {"1": BLACK_AND_WHITE, "L": GRAYS, "P": COLORS, "RGB": COLORS}.items():
    simple(f"BMP, {_mode}", "BMP", ".bmp", _mode, _colors)
for _mode, _colors in {"1": BLACK_AND_WHITE, "L": GRAYS, "RGB": COLORS}.items():
    simple(f"PPM, {_mode}", "PPM", ".ppm", _mode, _colors)


@kind("PPM, as text", ".ppm")
def ppm_text(random: Random, size: tuple[int, int]) -> Made:
    values = " ".join(map(str, spread([color[:3] for color in COLORS], size).flatten()))
    return f"P3\n# a comment\n{size[0]} {size[1]}\n255\n{values}\n".encode(), COLORS


# ---- JPEG

simple("JPEG, gray", "JPEG", ".jpg", "L", GRAYS, LOSSY)
simple("JPEG, CMYK", "JPEG", ".jpg", "CMYK", COLORS, LOSSY, quality=95)


@kind("JPEG", ".jpg", LOSSY)
def jpeg(random: Random, size: tuple[int, int]) -> Made:
    data = encoded(
        areas(COLORS, size, "RGB"),
        "JPEG",
        quality=random.choice([75, 90, 100]),
        subsampling=random.choice([0, 1, 2]),
        progressive=random.random() < 0.5,
        optimize=random.random() < 0.5,
        restart_marker_blocks=random.choice([0, 1]),
    )
    return data, COLORS


@kind("JPEG named .jfif or .jpe", ".jfif", LOSSY)
def jfif(random: Random, size: tuple[int, int]) -> Made:
    return encoded(areas(COLORS, size, "RGB"), "JPEG", dpi=(300, 300), comment=b"x" * 1000), COLORS


# ---- TIFF


@kind("TIFF", ".tif")
def tiff(random: Random, size: tuple[int, int]) -> Made:
    mode, colors = random.choice(
        [
            ("1", BLACK_AND_WHITE),
            ("L", GRAYS),
            ("P", COLORS),
            ("RGB", COLORS),
            ("RGBA", HALF),
            ("CMYK", COLORS),
        ]
    )
    compressions = [None, "tiff_lzw", "tiff_adobe_deflate", "packbits"] + ["group4"] * 3 * (mode == "1")
    options = {"compression": random.choice(compressions), "big_tiff": random.random() < 0.3}
    return encoded(areas(colors, size, mode), "TIFF", **options), colors


@kind("TIFF, gray of 16 bits", ".tif")
def tiff16(random: Random, size: tuple[int, int]) -> Made:
    values = spread([color[0] * 257 for color in GRAYS], size, np.uint16)
    image = Image.fromarray(values)
    if random.random() < 0.5:
        image = Image.frombytes("I;16B", size, values.astype(">u2").tobytes())
    return encoded(image, "TIFF"), GRAYS


@family.kind("TIFF of 32 bits")
def tiff32(folder: Path, random: Random) -> str:
    values = spread(
        [color[0] * random.choice([1, 257, 1e6, 1 / 255]) for color in GRAYS], (32, 32), np.float32
    )
    image = Image.fromarray(values if random.random() < 0.5 else values.astype(np.int32))
    (folder / "image.tif").write_bytes(encoded(image, "TIFF"))
    return samples.refused(lambda: samples.pictures(folder), lambda _: "read")


# ---- formats that not every Pillow has

if features.check("webp"):
    simple("WebP", "WEBP", ".webp", "RGB", COLORS, LOSSY, quality=95)
    simple("WebP, lossless with alpha", "WEBP", ".webp", "RGBA", HALF, lossless=True, exact=True)
    animated("WebP, animated", "WEBP", ".webp", LOSSY, quality=95)
if features.check("avif"):
    simple("AVIF", "AVIF", ".avif", "RGB", COLORS, LOSSY, quality=90)
    simple("AVIF with alpha", "AVIF", ".avif", "RGBA", HALF, LOSSY, quality=100)
if features.check("jpg_2000"):
    for _mode, _colors in {"L": GRAYS, "RGB": COLORS, "RGBA": HALF}.items():
        simple(f"JPEG 2000, {_mode}", "JPEG2000", ".jp2", _mode, _colors)

# ---- sizes


@kind("one pixel", ".png", LOSSY)
def one_pixel(random: Random, size: tuple[int, int]) -> Made:
    color = random.choice(COLORS)
    return encoded(
        Image.new("RGB", (1, 1), color[:3]), random.choice(["PNG", "JPEG", "BMP", "PPM", "TIFF"])
    ), [color] * 4


@kind("one pixel wide or high", ".png", LOSSY)
def extreme(random: Random, size: tuple[int, int]) -> Made:
    color, length = random.choice(COLORS), random.choice([300, 16_000, 60_000])
    image = Image.new("RGB", random.choice([(1, length), (length, 1)]), color[:3])
    return encoded(image, random.choice(["PNG", "JPEG", "BMP", "TIFF"])), [color] * 4


@kind("more pixels than PIL allows by itself", ".png", megabytes=3000)
def large(random: Random, size: tuple[int, int]) -> Made:
    return encoded(areas(BLACK_AND_WHITE, (13_500, 13_500), "1")), BLACK_AND_WHITE


@kind("another format than the extension says", ".png", LOSSY)
def misnamed(random: Random, size: tuple[int, int]) -> Made:
    return encoded(areas(COLORS, size, "RGB"), random.choice(["JPEG", "BMP", "GIF", "PPM", "TIFF"])), COLORS
