"""Colors of images as sRGB."""

from __future__ import annotations

import io
from functools import lru_cache

import numpy as np
from PIL import Image, ImageCms

MODES = {"GRAY": ("L",), "RGB": ("RGB", "L"), "CMYK": ("CMYK",)}
"""Modes of images that a profile describes, by its color space. A gray image may have the profile of a color one."""


def to_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """Apply an embedded ICC profile. A profile that is broken or of other colors than the image is ignored.

    Args:
        image: Of any mode. With alpha, the alpha stays as it is.
        profile: The content of the ICC profile, if there is one.

    Returns:
        The image in sRGB. If the profile has changed it, its mode is RGB or RGBA.
    """
    if not profile:
        return image
    if image.mode in ("LA", "RGBA"):
        color = to_srgb(image.convert(image.mode[:-1]), profile)
        color.putalpha(image.getchannel("A"))
        return color
    if image.mode in ("1", "P", "YCbCr"):
        image = image.convert("L" if image.mode == "1" else "RGB")
    mode, transform = _transform(profile, image.mode)
    return image if transform is None else transform.apply(image.convert(mode))


@lru_cache(64)
def _transform(profile: bytes, mode: str) -> tuple[str, ImageCms.ImageCmsTransform | None]:
    """From which mode on, and how, a profile turns images of a mode into sRGB.

    There is no transform if the profile is unusable or changes no color by more than one level of 255.
    """
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        modes = MODES.get(source.profile.xcolor_space.strip(), ())
        if mode not in modes:
            return mode, None
        transform = ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), modes[0], "RGB")
        if modes[0] == "CMYK":
            return modes[0], transform
        levels = np.arange(0, 256, 15, dtype=np.uint8)
        colors = np.stack(np.meshgrid(levels, levels, levels), -1).reshape(1, -1, 3)
        sample = Image.fromarray(colors)
        sample = sample.convert("L") if modes[0] == "L" else sample
        change = np.asarray(transform.apply(sample), int) - np.asarray(sample.convert("RGB"), int)
        return modes[0], transform if np.abs(change).max() > 1 else None
    except Exception:  # littlecms and PIL raise several kinds for broken profiles
        return mode, None
