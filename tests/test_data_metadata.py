"""Sound pixels in files whose metadata are broken or huge."""

import io
import struct
import zlib

import numpy as np
import pytest
from image_sets import images_of, noise
from PIL import Image, PngImagePlugin

from stylegan2.data.decoding import decode
from stylegan2.data.metadata import without_metadata


def exif(*entries: bytes) -> bytes:
    """A JPEG's APP1 content with these directory entries (12 bytes each)."""
    return b"Exif\0\0II*\0\x08\0\0\0" + struct.pack("<H", len(entries)) + b"".join(entries) + bytes(4)


TURNED = struct.pack("<HHIHH", 0x0112, 3, 1, 6, 0)

BROKEN = {
    "empty": b"Exif\0\0",
    "no TIFF": b"Exif\0\0MZ" + bytes(40),
    "truncated": exif(TURNED)[:13],
    "orientation as text": exif(struct.pack("<HHI4s", 0x0112, 2, 2, b"6\0\0\0")),
    "orientation 99": exif(struct.pack("<HHIHH", 0x0112, 3, 1, 99, 0)),
    "orientation without value": exif(struct.pack("<HHII", 0x0112, 3, 0, 0)),
    "offset beyond the end": exif(struct.pack("<HHII", 0x0112, 3, 9, 2**31)),
    "XMP that is no UTF-8": b'http://ns.adobe.com/xap/1.0/\0<x tiff:Orientation="\xff"/>',
    "too deep": exif(struct.pack("<HHII", 34665, 4, 1, 8)),
    "random": b"Exif\0\0II*\0\x08\0\0\0" + np.random.default_rng(0).bytes(500),
}


def jpeg(app1: bytes) -> tuple[bytes, np.ndarray]:
    """A JPEG of 16x8 pixels with an APP1 segment, and its pixels."""
    pixels = np.random.default_rng(1).integers(0, 256, (8, 16, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=95)
    data = buffer.getvalue()
    segment = b"\xff\xe1" + struct.pack(">H", len(app1) + 2) + app1
    return data[:2] + segment + data[2:], np.asarray(Image.open(buffer))


@pytest.mark.parametrize("what", BROKEN)
def test_a_picture_with_broken_exif_is_read_unturned(what):
    data, pixels = jpeg(BROKEN[what])
    assert np.array_equal(decode(data, 8, 3), pixels[:, 4:12].transpose(2, 0, 1))


def test_a_readable_orientation_counts_beside_broken_entries():
    zero = struct.pack("<HHII", 0x011A, 5, 1, 2**20)  # a rational number far beyond the end
    data, pixels = jpeg(exif(TURNED, zero))
    assert np.array_equal(decode(data, 8, 3), np.rot90(pixels, -1)[4:12].transpose(2, 0, 1))


@pytest.mark.parametrize("what", BROKEN)
@pytest.mark.parametrize("form", ["png", "webp", "tif", "avif"])
def test_other_formats_with_broken_exif_are_read(tmp_path, what, form):
    pixels = np.full((8, 8, 3), 100, np.uint8)
    content = BROKEN[what].removeprefix(b"Exif\0\0")
    try:
        if form == "tif":
            content = bytes(BROKEN[what])
            Image.fromarray(pixels).save(tmp_path / "a.tif", tiffinfo={700: content, 34377: content})
        else:
            options = {"lossless": True} if form == "webp" else {}
            Image.fromarray(pixels).save(tmp_path / f"a.{form}", exif=b"Exif\0\0" + content, **options)
    except Exception as error:
        pytest.skip(f"this Pillow does not write it: {error}")
    assert np.abs(images_of(tmp_path)[0][0].numpy().astype(int) - 100).max() <= 3


def test_a_tiff_with_a_broken_exif_directory_is_read(tmp_path):
    pixels = noise(tmp_path / "a.tif", 8, tiffinfo={34665: 123456789, 700: b"\xff\xfe"})
    assert np.array_equal(images_of(tmp_path)[0][0], pixels.transpose(2, 0, 1))


def test_large_text_in_a_png_is_no_obstacle(tmp_path):
    text = PngImagePlugin.PngInfo()
    text.add_text("comment", "x" * 2_000_000, zip=True)
    text.add_itxt("more", "y" * 2_000_000, zip=True)
    pixels = noise(tmp_path / "a.png", 8, pnginfo=text)
    dataset = images_of(tmp_path)
    dataset.scan(progress=False)
    assert np.array_equal(dataset[0][0], pixels.transpose(2, 0, 1))


def test_a_huge_color_profile_is_left_out(tmp_path):
    pixels = noise(tmp_path / "a.png", 8)
    data = (tmp_path / "a.png").read_bytes()
    content = b"iCCPx\0\0" + zlib.compress(bytes(80_000_000))
    chunk = struct.pack(">I", len(content) - 4) + content + struct.pack(">I", zlib.crc32(content))
    assert np.array_equal(decode(data[:33] + chunk + data[33:], 8, 3), pixels.transpose(2, 0, 1))


@pytest.mark.parametrize("form", ["PNG", "JPEG", "TIFF"])
def test_a_damaged_file_stays_damaged(form):
    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)).save(buffer, form)
    data = buffer.getvalue()
    for cut in (8, 30, 60, 200, len(data) // 2):
        with pytest.raises(Exception):  # noqa: B017 (PIL raises several kinds)
            decode(data[:cut], 8, 3)
    assert all(decode(less, 8, 3).shape == (3, 8, 8) for less in without_metadata(data))
