"""Image files without their metadata, for those that PIL refuses because of it.

The pixels of a file are sound even if its EXIF, XMP, text or color profile is broken or huge. PIL reads some of
these parts when it opens a file, and which ones it forgives depends on its version.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator

TEXT = (b"tEXt", b"zTXt", b"iTXt")
PIXELS = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND")
"""Chunks of a PNG that decide about its pixels."""

TIFF_METADATA = (274, 700, 34377, 34665, 34675, 34853)
"""Tags of a TIFF: orientation, XMP, Photoshop, EXIF, color profile, GPS."""


def without_metadata(data: bytes) -> Iterator[bytes]:
    """Versions of a PNG, JPEG, TIFF or AVIF with less and less metadata. A damaged file stays damaged."""
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        yield _png(data, lambda kind: kind not in TEXT)
        yield _png(data, lambda kind: kind in PIXELS)
    elif data.startswith(b"\xff\xd8"):
        yield _jpeg(data)
    elif data[:4] in (b"II*\0", b"MM\0*"):
        yield _tiff(data)
    elif data[4:8] == b"ftyp":
        yield data[:4096].replace(b"Exif\0", b"skip\0") + data[4096:]  # the type of an item in the header


def _png(data: bytes, keep: Callable[[bytes], bool]) -> bytes:
    """The chunks whose type `keep` accepts: length, type, content, checksum."""
    parts, at = [data[:8]], 8
    while at < len(data):
        (length,) = struct.unpack(">I", data[at : at + 4].ljust(4, b"\0"))
        if keep(data[at + 4 : at + 8]):
            parts.append(data[at : at + length + 12])
        at += length + 12
    return b"".join(parts)


def _jpeg(data: bytes) -> bytes:
    """All but the segments APP1 to APP13, which hold EXIF, XMP, profiles and the like.

    APP0 and APP14 stay, since they say how colors are coded. Segments end where the first scan starts.
    """
    parts, at = [data[:2]], 2
    while data[at : at + 1] == b"\xff" and data[at + 1 : at + 2] not in (b"\xda", b"\xff", b""):
        end = at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        if not 0xE1 <= data[at + 1] <= 0xED:
            parts.append(data[at:end])
        at = end
    return b"".join([*parts, data[at:]])


def _tiff(data: bytes) -> bytes:
    """The first directory's metadata becomes private tags of one byte, which nobody reads."""
    order, result = "<" if data.startswith(b"II") else ">", bytearray(data)
    (start,) = struct.unpack_from(f"{order}I", data, 4)
    count = int.from_bytes(data[start : start + 2], "little" if order == "<" else "big")
    for at in range(start + 2, min(start + 2 + 12 * count, len(data) - 11), 12):
        if struct.unpack_from(f"{order}H", data, at)[0] in TIFF_METADATA:
            struct.pack_into(f"{order}HHI", result, at, 65000, 1, 1)
    return bytes(result)
