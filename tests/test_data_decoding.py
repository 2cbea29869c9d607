"""How image files become pixels."""

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from image_sets import BLUE, RED, images_of, noise, save
from PIL import Image, features

from stylegan2.data import decoding
from stylegan2.errors import InputError


def pixel(path: Path, channels: int = 3) -> list[int]:
    """The middle pixel of the folder's first image."""
    image, _ = images_of(path, 8, channels=channels)[0]
    assert image.dtype == torch.uint8 and image.shape == (channels, 8, 8)
    return image[:, 4, 4].tolist()


def test_an_image_of_the_right_size_is_kept_exactly(tmp_path):
    pixels = noise(tmp_path / "a.png", 16)
    assert np.array_equal(images_of(tmp_path, 16)[0][0], pixels.transpose(2, 0, 1))


def test_palette_gray_and_bilevel_convert(tmp_path):
    Image.new("RGB", (8, 8), RED).quantize().save(tmp_path / "a.png")
    assert pixel(tmp_path) == list(RED)
    save(tmp_path / "a.png", 100, mode="L")
    assert pixel(tmp_path) == [100, 100, 100] and pixel(tmp_path, 1) == [100]
    save(tmp_path / "a.png", 1, mode="1")
    assert pixel(tmp_path) == [255, 255, 255]
    save(tmp_path / "a.png", RED)
    assert pixel(tmp_path, 1) == [76]  # 0.299 · 255, ITU-R 601


def test_transparency_shows_white_or_is_kept_as_alpha(tmp_path):
    save(tmp_path / "a.png", (*RED, 0), mode="RGBA")
    assert pixel(tmp_path) == [255, 255, 255] and pixel(tmp_path, 1) == [255]
    assert pixel(tmp_path, 4)[3] == 0
    save(tmp_path / "a.png", (0, 0, 0, 102), mode="RGBA")
    assert pixel(tmp_path) == [153, 153, 153] and pixel(tmp_path, 4) == [0, 0, 0, 102]
    save(tmp_path / "a.png", (0, 102), mode="LA")
    assert pixel(tmp_path) == [153, 153, 153]
    save(tmp_path / "a.png", RED)
    assert pixel(tmp_path, 4) == [*RED, 255]


def test_a_palette_and_rgb_with_a_transparent_color_show_white(tmp_path):
    image = Image.new("P", (8, 8), 1)
    image.putpalette([0, 0, 0, *BLUE])
    image.save(tmp_path / "a.png", transparency=1)
    assert pixel(tmp_path) == [255, 255, 255]
    image.save(tmp_path / "a.png", transparency=0)
    assert pixel(tmp_path) == list(BLUE)
    save(tmp_path / "a.png", RED, transparency=RED)
    assert pixel(tmp_path) == [255, 255, 255]


def test_alpha_does_not_bleed_hidden_colors_when_resized(tmp_path):
    pixels = np.zeros((64, 64, 4), np.uint8)
    pixels[:, 1::2] = (0, 255, 0, 0)  # invisible green between lines of visible red
    pixels[:, ::2] = (255, 0, 0, 255)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    red, green, _, alpha = pixel(tmp_path, 4)
    assert red > 250 and green < 5 and 120 < alpha < 136


@pytest.mark.parametrize("value, expected", [(65535, 255), (0, 0), (32896, 128), (25700, 100), (300, 1)])
def test_16_bit_gray_is_scaled_not_clipped(tmp_path, value, expected):
    Image.fromarray(np.full((8, 8), value, np.uint16)).save(tmp_path / "a.png")
    assert pixel(tmp_path) == [expected] * 3 and pixel(tmp_path, 1) == [expected]


def test_cmyk_converts(tmp_path):
    save(tmp_path / "a.jpg", (0, 255, 255, 0), mode="CMYK", quality=95)
    red, green, blue = pixel(tmp_path)
    assert red > 250 and green < 5 and blue < 5


@pytest.mark.parametrize(
    "orientation, turn",
    [
        (2, np.fliplr),
        (3, lambda x: np.rot90(x, 2)),
        (4, np.flipud),
        (5, lambda x: x.transpose(1, 0, 2)),
        (6, lambda x: np.rot90(x, -1)),
        (7, lambda x: np.rot90(x, 2).transpose(1, 0, 2)),
        (8, np.rot90),
    ],
)
def test_exif_orientation_is_applied(tmp_path, orientation, turn):
    exif = Image.Exif()
    exif[0x0112] = orientation
    pixels = noise(tmp_path / "a.png", 8, exif=exif)
    assert np.array_equal(images_of(tmp_path, 8)[0][0].permute(1, 2, 0), turn(pixels))


def test_the_center_square_is_taken(tmp_path):
    pixels = np.zeros((8, 24, 3), np.uint8)
    pixels[:, 8:16] = RED
    Image.fromarray(pixels).save(tmp_path / "a.png")
    Image.fromarray(pixels.transpose(1, 0, 2)).save(tmp_path / "b.png")
    for image, _ in images_of(tmp_path, 8):
        assert (image == torch.tensor(RED).view(3, 1, 1)).all()


@pytest.mark.parametrize("extension", ["png", "jpg"])
def test_resizing_is_antialiased(tmp_path, extension):
    """A one-pixel checkerboard becomes gray, not black or white."""
    board = np.indices((512, 512)).sum(0) % 2 * 255
    Image.fromarray(board.astype(np.uint8)).save(tmp_path / f"a.{extension}", quality=95)
    image = images_of(tmp_path, 32)[0][0].int()
    assert (image - 127.5).abs().max() < 4


def test_jpeg_scaled_while_decoding_differs_little_from_full_decoding(tmp_path):
    rng = np.random.default_rng(0)
    smooth = Image.fromarray(rng.integers(0, 256, (40, 40, 3), np.uint8)).resize((800, 800), Image.BICUBIC)
    smooth.save(tmp_path / "a.jpg", quality=95)
    full = np.asarray(Image.open(tmp_path / "a.jpg").resize((64, 64), Image.LANCZOS), float)
    image = images_of(tmp_path, 64)[0][0].permute(1, 2, 0).numpy()
    assert np.sqrt(((image - full) ** 2).mean()) < 1


def test_smaller_images_are_enlarged(tmp_path):
    save(tmp_path / "a.png", RED, (3, 5))
    assert pixel(tmp_path) == list(RED)


def test_a_program_hidden_behind_an_image_extension_is_not_run(tmp_path):
    """PIL would hand PostScript to Ghostscript."""
    (tmp_path / "a.png").write_text(
        "%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\nshowpage\n", encoding="utf-8"
    )
    with pytest.raises(InputError, match="cannot identify"):
        images_of(tmp_path, 8).scan(progress=False)


def png(width: int, height: int, bits: int, color: int, rows: list[bytes], key: bytes, interlace=0) -> bytes:
    """A PNG out of its rows of samples, with a transparent color."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        checksum = struct.pack(">I", zlib.crc32(kind + content))
        return struct.pack(">I", len(content)) + kind + content + checksum

    head = struct.pack(">IIBBBBB", width, height, bits, color, 0, 0, interlace)
    body = zlib.compress(b"".join(b"\0" + row for row in rows))
    parts = (chunk(b"IHDR", head), chunk(b"tRNS", key), chunk(b"IDAT", body), chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


@pytest.mark.parametrize("bits", [1, 2, 4, 8, 16])
def test_a_transparent_gray_of_any_depth_is_transparent(tmp_path, bits):
    top = 2**bits - 1
    values = np.array([0, top] * 4) if bits < 16 else np.array([30000, 30001] * 4)
    if bits == 16:
        row = values.astype(">u2").tobytes()
    else:
        row = np.packbits([[int(b) for b in f"{v:0{bits}b}"] for v in values]).tobytes()
    (tmp_path / "a.png").write_bytes(png(8, 8, bits, 0, [row] * 8, struct.pack(">H", values[1])))
    alpha = images_of(tmp_path, 8, channels=4)[0][0][3, 0]
    assert alpha.tolist() == [255, 0] * 4
    assert images_of(tmp_path, 8)[0][0][0, 0, 1::2].tolist() == [255] * 4


def test_a_transparent_color_of_16_bits_is_compared_with_16_bits(tmp_path):
    colors = [(1000, 2000, 3000), (1000, 2000, 3001), (1001, 2000, 3000), (60000, 1, 2)]
    row = np.array(colors * 2, dtype=">u2").tobytes()
    (tmp_path / "a.png").write_bytes(png(8, 8, 16, 2, [row] * 8, struct.pack(">HHH", *colors[0])))
    image = images_of(tmp_path, 8, channels=4)[0][0]
    assert image[3, 5].tolist() == [0, 255, 255, 255] * 2
    assert abs(int(image[0, 5, 3]) - 60000 / 257) <= 1


@pytest.mark.parametrize(
    "extension, form", [("tif", "TIFF"), ("gif", "GIF"), ("jfif", "JPEG"), ("avif", "AVIF"), ("mpo", "MPO")]
)
def test_formats_that_other_tools_write_are_read(tmp_path, extension, form):
    if form == "AVIF" and not features.check("avif"):
        pytest.skip("this Pillow reads no AVIF")
    image = Image.new("RGB", (8, 8), (200, 100, 50))
    more = {"save_all": True, "append_images": [Image.new("RGB", (8, 8))]} if form in ("MPO", "TIFF") else {}
    image.save(tmp_path / f"a.{extension.upper()}", form, **more)
    assert max(abs(a - b) for a, b in zip(pixel(tmp_path), (200, 100, 50))) <= 4


@pytest.mark.parametrize("value", [np.float32(0.5), np.int32(2**20)])
def test_pixels_of_32_bits_are_refused_with_advice(tmp_path, value):
    Image.fromarray(np.full((8, 8), value)).save(tmp_path / "a.tif")
    with pytest.raises(InputError, match="32 bits per channel .* convert"):
        images_of(tmp_path, 8).scan(progress=False)


def test_large_images_are_read_up_to_an_option(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)  # PIL's own limit, which is in no option
    pixels = noise(tmp_path / "a.png", 32)
    assert np.array_equal(images_of(tmp_path, 32)[0][0], pixels.transpose(2, 0, 1))
    assert Image.MAX_IMAGE_PIXELS == 100
    with pytest.raises(InputError, match="1,024 pixels are more than data.max_pixels allows, here 1,000"):
        images_of(tmp_path, 32, max_pixels=1000).scan(progress=False)
    monkeypatch.setattr(decoding, "usable_memory", lambda: 2 * 16 * 1000)
    with pytest.raises(InputError, match="here 1,000"):
        images_of(tmp_path, 32).scan(progress=False)


@pytest.mark.parametrize("cache_gb", [0, 1])
def test_what_the_check_accepts_training_reads(tmp_path, cache_gb):
    """A PNG with a wrong checksum, whose pixels PIL reads nevertheless."""
    whole = png(8, 8, 8, 0, [bytes(8)] * 8, b"\0\1")
    (tmp_path / "a.png").write_bytes(whole)
    (tmp_path / "b.png").write_bytes(whole[:-13] + b"\0" + whole[-12:])
    with pytest.raises(InputError, match="1 of 2 images .*:\n  b.png"):
        images_of(tmp_path, 8, cache_gb=cache_gb).scan(progress=False)
    with pytest.raises(InputError, match="b.png"):
        images_of(tmp_path, 8, cache_gb=cache_gb).read(1)
