"""Decoding of image files.

PIL decodes and resizes. torchvision would resize tensors with bicubic filters at best, drop transparency,
refuse BMP files, and decode every pixel of a JPEG before resizing it.
"""

from __future__ import annotations

import io
import math
import threading
from contextlib import AbstractContextManager, nullcontext, suppress
from importlib.util import find_spec
from typing import Any, Literal

import numpy as np
from PIL import Image, ImageFile

from stylegan2.data.checking import usable_memory
from stylegan2.data.color import to_srgb
from stylegan2.data.crops import Window
from stylegan2.data.metadata import without_metadata
from stylegan2.sizes import pair

FORMATS = {
    "PNG": (".png", ".apng"),
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif", ".mpo"),
    "WEBP": (".webp",),
    "BMP": (".bmp", ".dib"),
    "GIF": (".gif",),
    "TIFF": (".tif", ".tiff"),
    "PPM": (".ppm", ".pgm", ".pbm", ".pnm"),
    "JPEG2000": (".jp2", ".j2k"),
}
"""Formats by PIL's names, with their extensions. PIL tries only these decoders, whatever a file's extension."""
if find_spec("PIL.AvifImagePlugin"):  # from Pillow 11.3 on
    FORMATS["AVIF"] = (".avif",)
EXTENSIONS = tuple(extension for extensions in FORMATS.values() for extension in extensions)

MODES = {1: "L", 3: "RGB", 4: "RGBA"}
"""PIL's mode for each number of channels."""

REDUCING_GAP = 3.0
"""A fast box filter first shrinks an image to no less than this multiple of its final size, and a Lanczos
filter does the rest. From 3 on, the result is as good as with the Lanczos filter alone."""

BYTES_PER_PIXEL = 16
"""Memory for decoding: the image as it is, as RGBA, over white, and as RGB, with four bytes each."""

TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What turns an image upright, by its EXIF orientation."""

LARGE = 50_000_000
"""Pixels from which on a process decodes one image at a time."""

_one_large_image: AbstractContextManager[Any] = threading.Lock()
_pixel_limit = threading.Lock()


def take_turns(lock: AbstractContextManager[Any]) -> None:
    """Share the lock for large images with other processes."""
    global _one_large_image
    _one_large_image = lock


def decode(
    data: bytes,
    size: int | tuple[int, int],
    channels: int,
    max_pixels: int | None = None,
    crop: Literal["center", "pad", "random"] = "center",
    window: Window = Window(),  # noqa: B008 (frozen)
) -> np.ndarray:
    """Decode an image file into uint8 (channels, height, width), range 0..255.

    The image is turned upright as its EXIF data says, and converted to sRGB as its ICC profile says. Either
    is ignored if it is broken. Transparent pixels become white unless alpha is kept. The largest part of the wanted
    aspect ratio, or with "pad" the whole image, is then resized. JPEG's own scaling and a box
    filter shrink it to no less than 3 times the final size, and an antialiased Lanczos filter does the rest, on
    colors premultiplied by alpha. If a file holds several pictures, the first is decoded.

    Args:
        data: Content of the file.
        size: Height and width of the result, or the side of a square.
        channels: 1, 3 or 4.
        max_pixels: The largest image that is decoded. By default it is limited by half of the memory.
        crop: "center" and "random" cut off what is too much, "pad" adds white or transparent margins.
        window: Where the part lies that is not cut off.

    Raises:
        Exception: The file is unreadable, truncated or too large. PIL raises about a dozen kinds.
    """
    try:
        return _decode(data, pair(size), channels, max_pixels, crop, window)
    except Exception:  # perhaps only because of the file's metadata
        for less in without_metadata(data):
            if less != data:
                with suppress(Exception):
                    return _decode(less, pair(size), channels, max_pixels, crop, window)
        raise


def _decode(
    data: bytes, size: tuple[int, int], channels: int, max_pixels: int | None, crop: str, window: Window
) -> np.ndarray:
    with open_image(data) as image:
        if image.format == "PNG":
            open_image(data).verify()  # the checksums of all chunks, which reading the pixels passes over
        pixels = image.width * image.height
        limit = max_pixels or usable_memory() // 2 // BYTES_PER_PIXEL
        if pixels > limit:
            raise ValueError(f"{pixels:,} pixels are more than data.max_pixels allows, here {limit:,}")
        with _one_large_image if pixels > LARGE else nullcontext():
            height, width = size
            coarse = math.ceil(REDUCING_GAP * max(size))  # of the longer side, whatever it will be cut to
            image.draft(None, (coarse, coarse))
            image.load()
            upright = _upright(_with_alpha(image, data), image)
            image = _flat(to_srgb(upright, image.info.get("icc_profile")), MODES[channels])
            if crop == "pad":
                image = _padded(image, size)
            else:
                # The unit is a pixel of the result, so that a square of the image is cut to whole pixels.
                unit = min(image.width / width, image.height / height)
                left = window.start(0, image.width, unit * width)
                top = window.start(1, image.height, unit * height)
                box = (left, top, left + unit * width, top + unit * height)
                image = image.resize((width, height), Image.Resampling.LANCZOS, box, REDUCING_GAP)
    return np.array(image).reshape(height, width, channels).transpose(2, 0, 1)


def _padded(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """The whole image in the middle of one of a size (height, width), with white or transparent margins."""
    height, width = size
    unit = max(image.width / width, image.height / height)
    inner = max(1, round(image.width / unit)), max(1, round(image.height / unit))
    paper = Image.new(image.mode, (width, height), (255, 255, 255, 0) if image.mode == "RGBA" else "white")
    resized = image.resize(inner, Image.Resampling.LANCZOS, None, REDUCING_GAP)
    paper.paste(resized, ((width - inner[0]) // 2, (height - inner[1]) // 2))
    return paper


def open_image(data: bytes) -> Image.Image:
    """Open an image of any size. PIL's own limit applies to the whole process, so it is lifted only briefly."""
    with _pixel_limit:
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            return Image.open(io.BytesIO(data), formats=tuple(FORMATS))
        finally:
            Image.MAX_IMAGE_PIXELS = limit


def _upright(pixels: Image.Image, file: Image.Image) -> Image.Image:
    """Turn the pixels upright as the EXIF data of their file says. Broken EXIF data is ignored."""
    try:
        turn = TURNS.get(file.getexif().get(0x0112, 1))
    except Exception:  # PIL raises half a dozen kinds for broken EXIF or XMP
        turn = None
    return pixels if turn is None else pixels.transpose(turn)


def _with_alpha(image: Image.Image, data: bytes) -> Image.Image:
    """Convert an image to 8 bits per channel, and to LA or RGBA if it may have transparent pixels."""
    key = image.info.get("transparency")
    if image.mode == "F" or (image.mode == "I" and np.asarray(image).max() > 65535):
        raise ValueError("32 bits per channel are too many, convert the image to 8 or 16")
    if image.mode.startswith("I"):  # 16-bit gray, whose values PIL's own conversion would clip at 255
        values = np.clip(np.asarray(image, dtype=np.int64), 0, 65535)
        gray = Image.fromarray(((values + 128) // 257).astype(np.uint8))
        return gray if key is None else _transparent(gray, values == key)
    if key is not None and image.format == "PNG" and image.mode != "P" and data[24] != 8:
        return _transparent(image, _png_key(data, image, key))
    if image.getbands()[-1] in "Aa" or key is not None:
        return image.convert("LA" if image.mode in ("1", "L", "LA", "La") else "RGBA")
    return image


def _transparent(image: Image.Image, where: np.ndarray) -> Image.Image:
    """Make the pixels of a mask (H, W) transparent, in an image of mode LA or RGBA."""
    image = image.convert("RGB" if image.mode == "RGB" else "L")
    image.putalpha(Image.fromarray(np.where(where, 0, 255).astype(np.uint8)))
    return image


def _png_key(data: bytes, image: Image.Image, key: int | tuple[int, int, int]) -> np.ndarray:
    """Find the transparent color of a PNG of 1, 2, 4 or 16 bits, as a mask (H, W). PIL would compare 8 bits."""
    bits = data[24]
    if isinstance(key, int):
        return np.asarray(image.convert("L")) == min(key, 2**bits - 1) * 255 // (2**bits - 1)
    with open_image(data) as low:  # decoded once more for the lower eight bits
        assert isinstance(low, ImageFile.ImageFile)  # it comes from a file, and has the parts of one
        low.tile = [low.tile[0]._replace(args="RGB;16L")]
        low.load()
        values = np.asarray(image).astype(np.uint16) << 8 | np.asarray(low)
    return (values == key).all(-1)


def _flat(image: Image.Image, mode: str) -> Image.Image:
    """Convert an image to a mode. Transparent pixels become white unless that mode has alpha."""
    if image.mode in ("LA", "RGBA") and mode != "RGBA":
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert(mode)
