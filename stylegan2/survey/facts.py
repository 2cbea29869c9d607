"""Facts about one image file: size, mode, and what it takes to find its duplicates."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import PurePosixPath

import numpy as np
from PIL import Image

from stylegan2.data.decoding import FORMATS, TURNS, open_image
from stylegan2.data.metadata import without_metadata

MODES = {
    "1": "1 bit",
    "L": "gray",
    "LA": "gray with alpha",
    "La": "gray with alpha",
    "P": "palette",
    "PA": "palette with alpha",
    "RGBX": "RGB",
    "RGBa": "RGBA",
    "I": "gray, 16 bit",
}
"""PIL's modes in words. Those that are missing here are words already: RGB, RGBA, CMYK, YCbCr, LAB."""

MARGIN = 2
"""Levels of 255 by which two cells must differ to count as different. Less is the noise of JPEG on a flat area."""


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What is known of an image file after it has been decoded."""

    height: int
    """Height of the upright image in pixels."""

    width: int
    """Width of the upright image in pixels."""

    mode: str
    """Kind of pixels: gray, RGB, RGBA, palette, CMYK, "RGB, 16 bit" and so on."""

    digest: str
    """BLAKE2 of the file's bytes, in hexadecimal. Equal files have equal digests."""

    hash: int
    """Difference hash of 64 bits. Images that look alike differ in few of them."""

    colors: str
    """Mean colors of 4×4 cells, 48 bytes in hexadecimal."""

    oddities: tuple[str, ...] = ()
    """What is unusual about the file, in words."""

    @property
    def aspect(self) -> float:
        """Width divided by height."""
        return self.width / self.height


def examine(name: str, data: bytes, pixels: np.ndarray) -> Facts:
    """Collect the facts about an image.

    Args:
        name: The file's name.
        data: Content of the file.
        pixels: What `decode` made of it, uint8 (C, H, W).

    Raises:
        Exception: The file is no image that `decode` accepts.
    """
    with _opened(data) as image:
        width, height = image.size
        exif = _orientation(image)
        if exif >= 5:
            width, height = height, width
        return Facts(
            height=height,
            width=width,
            mode=_mode(image, data),
            digest=hashlib.blake2b(data, digest_size=16).hexdigest(),
            hash=difference_hash(pixels),
            colors=mean_colors(pixels),
            oddities=tuple(_oddities(name, image, exif)),
        )


def difference_hash(pixels: np.ndarray) -> int:
    """One bit for each of 8×8 neighboring cells of a 9×8 gray image: whether the left one is lighter.

    Args:
        pixels: uint8 (C, H, W) with 1, 3 or 4 channels.
    """
    cells = np.asarray(_picture(pixels).convert("L").resize((9, 8), Image.Resampling.BOX), dtype=int)
    bits = (cells[:, :-1] - cells[:, 1:] > MARGIN).flatten()
    return int.from_bytes(np.packbits(bits).tobytes(), "big")


def mean_colors(pixels: np.ndarray) -> str:
    """The colors of the image at 4×4, as 48 bytes in hexadecimal."""
    return np.asarray(_picture(pixels).resize((4, 4), Image.Resampling.BOX)).tobytes().hex()


def _picture(pixels: np.ndarray) -> Image.Image:
    """RGB on white."""
    array = np.ascontiguousarray(pixels.transpose(1, 2, 0))
    if array.shape[2] == 4:
        image = Image.fromarray(array)
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    return Image.fromarray(array[:, :, 0] if array.shape[2] == 1 else array).convert("RGB")


def _opened(data: bytes) -> Image.Image:
    """Open a file of which `decode` has read the pixels, if need be without its metadata."""
    for version in (data, *without_metadata(data)):
        try:
            return open_image(version)
        except Exception as error:  # PIL raises a dozen kinds
            failure = error
    raise failure


def _orientation(image: Image.Image) -> int:
    """The EXIF orientation that `decode` applies, 1 if there is none."""
    try:
        value = image.getexif().get(0x0112, 1)
    except Exception:  # PIL raises half a dozen kinds for broken EXIF or XMP
        return 1
    return value if value in TURNS else 1


def _mode(image: Image.Image, data: bytes) -> str:
    deep = image.mode.startswith("I") or (image.format == "PNG" and data[24:25] == b"\x10")
    word = "gray" if image.mode.startswith("I") else MODES.get(image.mode, image.mode)
    return f"{word}, 16 bit" if deep else word


def _oddities(name: str, image: Image.Image, exif: int) -> list[str]:
    found = []
    suffix = PurePosixPath(name).suffix.lower()
    kind = {"MPO": "JPEG"}.get(image.format or "", image.format or "")
    if suffix not in FORMATS.get(kind, ()):
        found.append(f"content is {kind}, whatever the extension says")
    if exif != 1:
        found.append("turned upright by its EXIF orientation")
    if getattr(image, "n_frames", 1) > 1:
        found.append("several pictures, of which the first is used")
    return found
