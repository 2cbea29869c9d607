"""Embedded color profiles."""

import io
import struct
from pathlib import Path

import numpy as np
import pytest
from image_sets import images_of, noise
from PIL import Image, ImageCms


def profile(gamma: float, matrix=None) -> bytes:
    """A color profile with one exponent for all channels; with the primaries of sRGB in another order if asked."""
    content = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    (count,) = struct.unpack_from(">I", content, 128)
    tags = {}
    for k in range(count):
        name, offset, size = struct.unpack_from(">4sII", content, 132 + 12 * k)
        tags[name] = (offset, size, 132 + 12 * k)
    curve = struct.pack(">4sIIH", b"curv", 0, 1, round(gamma * 256)) + b"\0\0"
    for name in (b"rTRC", b"gTRC", b"bTRC"):
        struct.pack_into(">II", content, tags[name][2] + 4, len(content), len(curve))
    content += curve
    if matrix:
        values = [bytes(content[tags[n][0] : tags[n][0] + 20]) for n in (b"rXYZ", b"gXYZ", b"bXYZ")]
        for name, k in zip((b"rXYZ", b"gXYZ", b"bXYZ"), matrix):
            content[tags[name][0] : tags[name][0] + 20] = values[k]
    struct.pack_into(">I", content, 0, len(content))
    return bytes(content)


LINEAR = profile(1.0)


def srgb(linear: np.ndarray) -> np.ndarray:
    """The definition (IEC 61966-2-1): linear light 0..1 to 0..255."""
    return 255 * np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


@pytest.mark.parametrize("form", ["png", "jpg", "tif", "webp"])
def test_a_profile_is_applied(tmp_path, form):
    options = {"jpg": {"quality": 100, "subsampling": 0}, "webp": {"lossless": True}}.get(form, {})
    pixels = np.repeat(np.arange(16, 256, 30, dtype=np.uint8), 24).reshape(8, 8, 3)
    Image.fromarray(pixels).save(tmp_path / f"a.{form}", icc_profile=LINEAR, **options)
    image = images_of(tmp_path, 8)[0][0].permute(1, 2, 0).numpy().astype(float)
    assert np.abs(image - srgb(pixels / 255)).max() < (5 if form == "jpg" else 1.5)


def test_a_profile_of_other_primaries_is_applied(tmp_path):
    pixels = noise(tmp_path / "a.png", 8, icc_profile=profile(2.2, matrix=(1, 2, 0)))
    image = images_of(tmp_path, 8)[0][0].permute(1, 2, 0).numpy().astype(float)
    expected = srgb((pixels[..., [2, 0, 1]] / 255) ** 2.2)  # what was green is called red
    assert np.abs(image - expected).max() < 3


def test_srgb_and_broken_profiles_change_nothing(tmp_path):
    known = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for content in (known, b"", b"not a profile", LINEAR[:200], known[:128] + bytes(len(known) - 128)):
        pixels = noise(tmp_path / "a.png", 8, icc_profile=content)
        assert np.array_equal(images_of(tmp_path, 8)[0][0], pixels.transpose(2, 0, 1))


@pytest.mark.parametrize("mode, color", [("L", 55), ("LA", (55, 255)), ("RGBA", (55, 55, 55, 255)), ("P", 1)])
def test_images_of_all_modes_take_a_profile(tmp_path, mode, color):
    image = Image.new(mode, (8, 8), color)
    if mode == "P":
        image.putpalette([0, 0, 0, 55, 55, 55])
    image.save(tmp_path / "a.png", icc_profile=LINEAR)
    for channels in (1, 3, 4):
        value = images_of(tmp_path, 8, channels=channels)[0][0][0, 4, 4]
        assert abs(value - srgb(np.float64(55 / 255))) < 1.5


def test_a_transparent_image_keeps_its_alpha(tmp_path):
    Image.new("RGBA", (8, 8), (55, 55, 55, 100)).save(tmp_path / "a.png", icc_profile=LINEAR)
    red, _, _, alpha = images_of(tmp_path, 8, channels=4)[0][0][:, 4, 4].tolist()
    assert abs(red - srgb(np.float64(55 / 255))) < 3 and alpha == 100


def test_a_profile_of_another_kind_of_image_is_ignored(tmp_path: Path):
    """A gray profile in a color image has no meaning."""
    gray = bytearray(LINEAR)
    gray[16:20] = b"GRAY"
    pixels = noise(tmp_path / "a.png", 8, icc_profile=bytes(gray))
    assert np.array_equal(images_of(tmp_path, 8)[0][0], pixels.transpose(2, 0, 1))
    buffer = io.BytesIO()
    Image.new("CMYK", (8, 8), (0, 255, 255, 0)).save(buffer, "JPEG", icc_profile=LINEAR, quality=95)
    (tmp_path / "a.png").write_bytes(buffer.getvalue())
    assert images_of(tmp_path, 8)[0][0][0, 4, 4] > 250
