"""Items, batches and copies of the data set."""

import itertools
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from image_sets import images_of, make_two_classes, zipped

from stylegan2.errors import InputError


@pytest.fixture
def two_classes(tmp_path) -> Path:
    return make_two_classes(tmp_path / "set")


def test_mirror_doubles_the_set_with_flipped_images(two_classes):
    plain = images_of(two_classes, 8, classes="folders")
    mirrored = images_of(two_classes, 8, classes="folders", mirror=True)
    assert len(mirrored) == 12 and mirrored.num_images == 6
    for i in range(6):
        image, label = plain[i]
        assert torch.equal(mirrored[i][0], image) and torch.equal(mirrored[i + 6][1], label)
        assert np.array_equal(mirrored[i + 6][0].numpy(), image.numpy()[:, :, ::-1])
    images, labels = mirrored[[7, 0, 11]]
    assert torch.equal(images, torch.stack([mirrored[i][0] for i in (7, 0, 11)]))
    assert labels.shape == (3, 2)
    assert torch.equal(plain[0][0], mirrored[0][0])  # flipping has not touched the cache
    pytest.raises(IndexError, mirrored.__getitem__, 12)


def test_a_file_damaged_after_the_scan_is_named(two_classes):
    dataset = images_of(two_classes, 8, cache_gb=0)
    dataset.scan(progress=False)
    (two_classes / "cats/1.png").write_bytes(b"")
    with pytest.raises(InputError, match="cats/1.png"):
        dataset[1]


@pytest.mark.parametrize("form", [lambda path: path, zipped])
def test_a_pickled_copy_reads_the_same(two_classes, form):
    dataset = images_of(form(two_classes), 8, classes="folders")
    dataset.scan(progress=False)
    copy = pickle.loads(pickle.dumps(dataset))
    for (a, la), (b, lb) in zip(copy, dataset, strict=True):
        assert torch.equal(a, b) and torch.equal(la, lb)


@pytest.mark.parametrize("form", [lambda path: path, zipped])
@pytest.mark.parametrize("cache_gb", [0.0, 1.0])
def test_batches_do_not_depend_on_workers(two_classes, form, cache_gb):
    batches = []
    for workers in (0, 1, 2):
        dataset = images_of(
            form(two_classes), classes="folders", mirror=True, workers=workers, cache_gb=cache_gb
        )
        batches.append(list(itertools.islice(dataset.loader(5, seed=1), 6)))
    assert batches[0][0][0].shape == (5, 3, 8, 8) and batches[0][0][1].shape == (5, 2)
    for other in batches[1:]:
        for (a, la), (b, lb) in zip(batches[0], other, strict=True):
            assert torch.equal(a, b) and torch.equal(la, lb)
