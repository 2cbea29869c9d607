"""Decoded images in memory that processes share."""

import shutil
from pathlib import Path

import pytest
import torch
from image_sets import images_of, make_two_classes, noise
from torch.utils.data import DataLoader


@pytest.fixture
def two_classes(tmp_path) -> Path:
    return make_two_classes(tmp_path / "set")


def test_images_decoded_by_workers_are_cached_for_everybody(two_classes):
    dataset = images_of(two_classes, 8, mirror=True)
    expected = [images_of(two_classes, 8, mirror=True, cache_gb=0)[i][0] for i in range(12)]
    assert not dataset.in_memory
    list(DataLoader(dataset, num_workers=2, multiprocessing_context="fork"))
    assert dataset.in_memory
    shutil.rmtree(two_classes)
    assert all(torch.equal(dataset[i][0], expected[i]) for i in range(12))


def test_a_set_too_large_for_the_cache_is_decoded_each_time(two_classes):
    size = 6 * 3 * 8 * 8
    small, large = (images_of(two_classes, 8, cache_gb=(size - d) / 1e9) for d in (1, 0))
    for dataset in (small, large):
        dataset.scan(progress=False)
    assert large.in_memory and not small.in_memory
    noise(two_classes / "cats/0.png", 8, 99)
    assert torch.equal(large[1][0], small[1][0]) and not torch.equal(large[0][0], small[0][0])
