"""The look at every image before training."""

import io
from pathlib import Path

import numpy as np
import pytest
from image_sets import images_of, make_damaged, zipped
from PIL import Image

from stylegan2.errors import InputError


@pytest.fixture
def damaged(tmp_path) -> Path:
    return make_damaged(tmp_path / "damaged")


@pytest.mark.parametrize("cache_gb", [0, 1])
@pytest.mark.parametrize("form", [lambda path: path, zipped])
def test_scan_lists_unreadable_files_and_refuses(damaged, cache_gb, form):
    dataset = images_of(form(damaged), 8, cache_gb=cache_gb)
    with pytest.raises(InputError, match=r"3 of 8 images") as error:
        dataset.scan(progress=False)
    assert all(name in str(error.value) for name in ("0a.jpg", "2a.png", "3a.png", "unreadable=skip"))
    assert "1.png" not in str(error.value)


@pytest.mark.parametrize("cache_gb", [0, 1])
@pytest.mark.parametrize("form", [lambda path: path, zipped])
def test_scan_skips_unreadable_files_and_keeps_labels_aligned(damaged, cache_gb, form):
    dataset = images_of(form(damaged), 8, classes="labels", unreadable="skip", cache_gb=cache_gb)
    with pytest.warns(UserWarning, match="3 of 8 images") as warned:
        dataset.scan(progress=False)
    assert "0a.jpg" in str(warned[0].message)
    assert dataset.num_images == 5 and dataset.num_classes == 5 and dataset.in_memory == bool(cache_gb)
    for k, (image, label) in enumerate(dataset):
        assert image[0, 0, 0] == k == label.argmax()


@pytest.mark.parametrize(
    "options", [{"format": "JPEG"}, {"format": "JPEG", "progressive": True}, {"format": "PNG"}]
)
@pytest.mark.parametrize("cache_gb", [0, 1])
def test_scan_finds_truncation_anywhere(tmp_path, options, cache_gb):
    buffer = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(buffer, **options)
    data = buffer.getvalue()
    cuts = [0, 1, 10, 100, len(data) // 2, len(data) - 1000, len(data) - 40]
    for cut in cuts:
        (tmp_path / f"{cut}.png").write_bytes(data[:cut])
    with pytest.raises(InputError, match=f"{len(cuts)} of {len(cuts)} images"):
        images_of(tmp_path, 8, unreadable="skip", cache_gb=cache_gb).scan(progress=False)


def test_scan_names_twenty_files_and_a_count(tmp_path):
    for k in range(25):
        (tmp_path / f"{k:02}.png").write_bytes(b"")
    with pytest.raises(InputError, match="25 of 25") as error:
        images_of(tmp_path, 8).scan(progress=False)
    text = str(error.value)
    assert "19.png" in text and "20.png" not in text and "and 5 more" in text
