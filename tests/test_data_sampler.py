"""The order in which training sees the images."""

import itertools
from pathlib import Path

import pytest
import torch
from image_sets import images_of, make_two_classes
from torch.utils.data import DataLoader

from stylegan2.data import InfiniteSampler


@pytest.fixture
def two_classes(tmp_path) -> Path:
    return make_two_classes(tmp_path / "set")


def stream(count: int, **options) -> list[list[int]]:
    return list(itertools.islice(InfiniteSampler(**options), count))


def test_each_epoch_is_a_permutation_and_no_two_are_alike():
    flat = sum(stream(100, n=30, batch=3, seed=5), [])
    epochs = [tuple(flat[k : k + 30]) for k in range(0, 300, 30)]
    assert all(sorted(epoch) == list(range(30)) for epoch in epochs) and len(set(epochs)) == 10
    assert flat[:30] != sum(stream(10, n=30, batch=3, seed=6), [])


@pytest.mark.parametrize("world_size", [1, 2, 3])
def test_ranks_share_one_stream(world_size):
    whole = stream(12, n=7, batch=4 * world_size, seed=1)
    ranks = [stream(12, n=7, batch=4, seed=1, rank=r, world_size=world_size) for r in range(world_size)]
    assert [sum(parts, []) for parts in zip(*ranks, strict=True)] == whole


def test_resumed_stream_equals_uninterrupted_stream():
    for n, done in ((7, 5), (100, 3)):
        whole = stream(20, n=n, batch=4, seed=1, rank=1, world_size=2)
        resumed = stream(20 - done, n=n, batch=4, seed=1, rank=1, world_size=2, start=done * 4 * 2)
        assert resumed == whole[done:]


def test_a_stream_continues_on_another_number_of_processes():
    whole = sum(stream(12, n=7, batch=4, seed=1), [])
    ranks = [stream(4, n=7, batch=2, seed=1, rank=r, world_size=2, start=32) for r in range(2)]
    assert sum((a + b for a, b in zip(*ranks, strict=True)), []) == whole[32:]


def test_a_batch_larger_than_the_set_goes_on_into_the_next_epochs():
    (batch,) = stream(1, n=3, batch=9, seed=0)
    assert all(sorted(batch[k : k + 3]) == [0, 1, 2] for k in (0, 3, 6))


def test_the_sampler_works_as_batch_sampler(two_classes):
    dataset = images_of(two_classes, 8)
    (order,) = stream(1, n=6, batch=4, seed=3)
    images, _ = next(iter(DataLoader(dataset, batch_sampler=InfiniteSampler(6, batch=4, seed=3))))
    assert torch.equal(images, torch.stack([dataset[i][0] for i in order]))
