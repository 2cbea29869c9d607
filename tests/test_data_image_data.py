"""The way from options to a data set."""

import pytest
from image_sets import make_damaged, noise

from stylegan2.data import ImageData
from stylegan2.errors import InputError


def test_the_demo_is_in_memory_and_needs_no_workers():
    dataset = ImageData().open(minimum=1906, progress=False)
    loader = dataset.loader(32, seed=0)
    assert dataset.in_memory and loader.batches.num_workers == 0
    assert next(iter(loader))[0].shape == (32, 3, 32, 32)


def test_opening_checks_every_file(tmp_path):
    data = ImageData(str(make_damaged(tmp_path / "damaged")), resolution=8)
    with pytest.raises(InputError, match="3 of 8 images"):
        data.open(progress=False)


def test_too_few_images_are_refused(tmp_path):
    for k in range(3):
        noise(tmp_path / f"{k}.png", 8, k)
    data = ImageData(str(tmp_path), 8)
    dataset = data.open(minimum=3, progress=False)
    for ask in (dataset.require, lambda n: data.open(n, progress=False)):
        with pytest.raises(InputError, match=f"at least 4 images in {tmp_path}, found 3"):
            ask(4)


def test_workers_set_by_the_user_are_used(tmp_path):
    noise(tmp_path / "a.png", 8)
    dataset = ImageData(str(tmp_path), 8, workers=1).open(progress=False)
    assert dataset.in_memory and dataset.loader(1, seed=0).batches.num_workers == 1
