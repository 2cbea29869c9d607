"""Items, batches and copies of the data set."""

import itertools
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from image_sets import images_of, make_two_classes, noise, save, zipped

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


def test_an_image_spoilt_while_training_is_replaced_by_the_next_with_its_label(two_classes):
    dataset = images_of(two_classes, 8, classes="folders", cache_gb=0, mirror=True)
    dataset.scan(progress=False)
    expected, labels = dataset[[3, 9]]
    (two_classes / "cats/2.png").write_bytes(b"")
    with pytest.warns(UserWarning, match=r"cats/2.png .* damaged.*Going on without it: 1 images lost, 1 may"):
        images, found = dataset[[2, 8]]
    assert torch.equal(images, expected) and torch.equal(found, labels)
    assert dataset.num_lost == 1


def test_an_image_that_a_worker_finds_spoilt_is_lost_for_all_processes(two_classes):
    dataset = images_of(two_classes, 8, classes="folders", cache_gb=0, workers=2)
    dataset.scan(progress=False)
    expected, _ = dataset[3]
    batches = iter(dataset.loader(6, seed=0))
    next(batches)
    (two_classes / "cats/2.png").write_bytes(b"")
    for images, _ in itertools.islice(batches, 24):  # more than the workers are ahead
        assert images.shape == (6, 3, 8, 8)
    assert dataset.num_lost == 1 and torch.equal(dataset[2][0], expected)


def test_images_are_lost_up_to_a_share_and_then_training_ends(tmp_path):
    for k in range(300):
        save(tmp_path / f"{k:03}.png", (k % 256, 0, 0))
    for unreadable, limit in (("refuse", 3), ("skip", 150)):
        dataset = images_of(tmp_path, 8, cache_gb=0, unreadable=unreadable)
        dataset.source.read = lambda name: b""
        for row in range(limit):
            dataset._lost[row] = True
        with pytest.raises(InputError, match=f"at most {limit} of 300 images .* found {limit + 1}"):
            dataset[0]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("workers", [0, 2])
def test_a_zip_spoilt_while_training_ends_with_one_message(tmp_path, workers):
    for k in range(6):
        noise(tmp_path / f"set/{k}.png", 64, k)
    path = zipped(tmp_path / "set")
    batches = iter(images_of(path, 8, cache_gb=0, workers=workers).loader(2, seed=0))
    next(batches)
    path.write_bytes(bytes(path.stat().st_size))
    with pytest.raises(InputError, match="^Expected at most 1 of 6 images"):
        list(itertools.islice(batches, 60))


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
