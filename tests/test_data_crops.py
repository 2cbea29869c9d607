"""Crops: where they lie, that random ones follow from seed, epoch and image alone, and that points stay in view."""

import itertools
import json

import numpy as np
import pytest
from image_sets import images_of
from PIL import Image

from stylegan2.data import DataOptions
from stylegan2.data.crops import Window, draw
from stylegan2.errors import InputError


@pytest.fixture
def ramps(tmp_path):
    """Four images of 96×8 and four of 8×96, whose pixel at k is 2k. So a crop shows where it lies."""
    for k in range(4):
        row = np.tile(np.arange(96, dtype=np.uint8) * 2, (8, 1))
        (tmp_path / "set").mkdir(exist_ok=True)
        Image.fromarray(row).save(tmp_path / f"set/{k}-wide.png")
        Image.fromarray(row.T.copy()).save(tmp_path / f"set/{k}-high.png")
    return tmp_path / "set"


def start_of(image) -> int:
    """The first pixel that a crop (1, 8, 8) of a ramp shows."""
    return int(image.min()) // 2


def starts(dataset, batches: int, **options) -> list[list[int]]:
    loader = dataset.loader(4, seed=3, **options)
    return [[start_of(image) for image in images] for images, _ in itertools.islice(loader, batches)]


@pytest.mark.parametrize("workers", [0, 2])
def test_random_crops_go_on_after_resuming_and_are_shared_by_processes(ramps, workers):
    dataset = images_of(ramps, 8, channels=1, crop="random", mirror=True, workers=workers)
    dataset.scan(progress=False)
    assert not dataset.in_memory
    whole = starts(dataset, 24)
    assert starts(images_of(ramps, 8, channels=1, crop="random", mirror=True, workers=0), 24) == whole
    assert starts(dataset, 14, start=40) == whole[10:]
    first, second = (starts(dataset, 12, rank=rank, world_size=2) for rank in (0, 1))
    assert [s for pair in zip(first, second) for s in pair] == whole


def test_random_crops_cover_the_image_evenly_and_change_with_epoch_and_seed(ramps):
    dataset = images_of(ramps, 8, channels=1, crop="random", workers=0)
    found = np.array(starts(dataset, 250)).flatten()
    assert found.min() <= 2 and found.max() >= 86 and abs(found.mean() - 43.5) < 3 * 25.4 / 1000**0.5
    assert len({tuple(found[k : k + 8]) for k in range(0, 1000, 8)}) == 125
    other = dataset.loader(4, seed=4)
    assert [start_of(image) for image in next(iter(other))[0]] != list(found[:4])
    assert np.array_equal(dataset[3][0], dataset[3][0])  # without a batch of the sampler, it stays as it is


def test_draws_are_independent_of_each_other():
    values = np.array([draw(0, epoch, index) for epoch in range(30) for index in range(30)])
    assert len(np.unique(values)) == values.size
    assert abs(np.corrcoef(values.T)[0, 1]) < 0.1 and abs(values.mean() - 0.5) < 0.03


@pytest.mark.parametrize("point, start", [((0.5, 0.5), 44), ((0.25, 0.25), 20), ((0, 0), 0), ((1, 1), 88)])
def test_a_point_is_in_the_middle_of_the_crop_or_as_near_as_the_image_allows(ramps, point, start):
    names = images_of(ramps, 8).names
    (ramps / "focus.json").write_text(json.dumps(dict.fromkeys(names, point)), encoding="utf-8")
    dataset = images_of(ramps, 8, channels=1, focus=str(ramps / "focus.json"))
    assert [start_of(image) for image, _ in dataset] == [start] * 8


def test_random_crops_keep_the_point_in_view(ramps):
    names = images_of(ramps, 8).names
    lines = "".join(f"{name},0.25,0.25\n" for name in names)
    (ramps / "focus.csv").write_text(f"name,x,y\n{lines}", encoding="utf-8")
    dataset = images_of(ramps, 8, channels=1, crop="random", focus=str(ramps / "focus.csv"), workers=0)
    found = set(np.array(starts(dataset, 100)).flatten().tolist())
    assert found == set(range(16, 24))  # the point is pixel 24, and a crop has 8


def test_the_middle_is_where_it_was_before_there_were_windows():
    for whole, part in ((100, 64), (101, 64), (64, 64.0), (99, 31.7)):
        assert Window().start(0, whole, part) == int(whole - part) // 2


@pytest.mark.parametrize(
    "text, message",
    [
        ('{"absent.png": [0, 0]}', "found absent.png"),
        ('{"0-wide.png": [480, 0.5]}', "Divide pixels"),
        ('{"0-wide.png": [0.5]}', "something else"),
        ("not json", "something else"),
        ('[["0-wide.png", ["a", 1]]]', "something else"),
        ('{"0-wide.png": [NaN, 0.5]}', "Divide pixels"),
    ],
)
def test_a_file_of_points_that_does_not_fit_is_refused(ramps, text, message):
    (ramps / "focus.json").write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=message):
        images_of(ramps, 8, focus=str(ramps / "focus.json"))
    with pytest.raises(InputError, match="data.focus expects"):
        images_of(ramps, 8, focus=str(ramps / "none.json"))


def test_images_without_a_point_are_counted(ramps):
    (ramps / "focus.json").write_text('{"0-wide.png": [0.1, 0.5]}', encoding="utf-8")
    dataset = images_of(ramps, 8, focus=str(ramps / "focus.json"))
    with pytest.warns(UserWarning, match="7 images have no point"):
        dataset.scan(progress=False)


def test_points_and_padding_exclude_each_other():
    with pytest.raises(InputError, match="cuts nothing off"):
        DataOptions("demo", 32, crop="pad", focus="points.json")
