"""Decoding of image files.

PIL decodes and resizes. torchvision would resize tensors with bicubic filters at best, drop transparency,
refuse BMP files, and decode every pixel of a JPEG before resizing it.
"""

from __future__ import annotations

import io
import math

import numpy as np
from PIL import Image, ImageOps

EXTENSIONS = (".png", ".jpg", ".jpeg", ".webp", ".bmp")
FORMATS = ("PNG", "JPEG", "WEBP", "BMP")
"""PIL tries only these decoders, whatever the extension of a file."""

MODES = {1: "L", 3: "RGB", 4: "RGBA"}
"""PIL's mode for each number of channels."""

REDUCING_GAP = 3.0
"""A fast box filter first shrinks an image to no less than this multiple of its final size, and a Lanczos
filter does the rest. From 3 on, the result is as good as with the Lanczos filter alone."""


def decode(data: bytes, resolution: int, channels: int) -> np.ndarray:
    """Decode an image file into uint8 (channels, resolution, resolution), range 0..255.

    The image is turned upright as its EXIF data says, and converted to the number of channels. Transparent
    pixels become white unless alpha is kept. The center square is then resized. JPEG's own scaling and a box
    filter shrink it to no less than 3 times the final size, and an antialiased Lanczos filter does the rest,
    on colors premultiplied by alpha.

    Raises:
        Exception: The file is unreadable or truncated. PIL raises about a dozen kinds.
    """
    with Image.open(io.BytesIO(data), formats=FORMATS) as image:
        coarse = math.ceil(REDUCING_GAP * resolution)
        image.draft(None, (coarse, coarse))
        image.load()
        ImageOps.exif_transpose(image, in_place=True)
        image = _convert(image, MODES[channels])
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    box = (left, top, left + side, top + side)
    image = image.resize((resolution, resolution), Image.Resampling.LANCZOS, box, REDUCING_GAP)
    return np.array(image).reshape(resolution, resolution, channels).transpose(2, 0, 1)


def check(data: bytes) -> None:
    """Raise PIL's exception if an image file is damaged or truncated. This is faster than `decode`."""
    with Image.open(io.BytesIO(data), formats=FORMATS) as image:
        if image.format == "PNG":
            image.verify()  # the checksums of all chunks, up to the end marker
        else:
            image.draft(None, (1, 1))  # PIL then reads the whole JPEG but computes few pixels
            image.load()


def _convert(image: Image.Image, mode: str) -> Image.Image:
    if image.mode.startswith("I"):  # 16-bit gray, whose values PIL's own conversion would clip at 255
        gray = np.clip(np.asarray(image, dtype=np.int64), 0, 65535)
        image = Image.fromarray(((gray + 128) // 257).astype(np.uint8))
    if "A" in image.getbands() or "transparency" in image.info:
        image = image.convert("RGBA")
        if mode != "RGBA":
            image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert(mode)
