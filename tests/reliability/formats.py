"""Image files that PIL does not write: PNGs of any depth, and profiles of other colors."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable

import numpy as np
from PIL import ImageCms

CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
"""Samples of a pixel by the color type of a PNG."""

PASSES = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]
"""The passes of an interlaced PNG: first column and row, and the steps of both."""


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(
    pixels: np.ndarray,
    color: int,
    depth: int,
    chunks: Iterable[tuple[bytes, bytes]] = (),
    interlaced: bool = False,
) -> bytes:
    """A PNG (ISO 15948).

    Args:
        pixels: Samples (H, W, C) in 0..2^depth-1.
        color: 0 gray, 2 RGB, 3 palette, 4 gray with alpha, 6 RGBA.
        depth: Bits of a sample.
        chunks: More chunks before the pixels, such as PLTE and tRNS.
        interlaced: Whether the pixels come in the seven passes of Adam7.
    """
    height, width, channels = pixels.shape
    assert channels == CHANNELS[color]
    parts = [pixels]
    if interlaced:
        parts = [pixels[y::dy, x::dx] for x, y, dx, dy in PASSES]
    rows = b"".join(b"\0" + packed(row, depth) for part in parts if part.size for row in part)
    header = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, interlaced)
    middle = b"".join(chunk(kind, content) for kind, content in chunks)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + middle
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


def packed(row: np.ndarray, depth: int) -> bytes:
    """A row of samples as bytes, the most significant bit first."""
    if depth >= 8:
        return row.astype(f">u{depth // 8}").tobytes()
    bits = (row.reshape(-1, 1) >> np.arange(depth - 1, -1, -1)) & 1
    return np.packbits(bits.astype(np.uint8)).tobytes()


def red_is_blue() -> bytes:
    """The profile of sRGB with red and blue exchanged, in which (255, 0, 0) is blue."""
    content = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return content.replace(b"rXYZ", b"....").replace(b"bXYZ", b"rXYZ").replace(b"....", b"bXYZ")
