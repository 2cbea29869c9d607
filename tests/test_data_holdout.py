"""Images that are held out: which ones, and that training never gets them."""

import itertools
import warnings
from types import SimpleNamespace

import pytest
import torch
from PIL import Image

from stylegan2.data import ImageData
from stylegan2.data.holdout import chosen_rows, share_of
from stylegan2.errors import InputError
from stylegan2.training.data import TrainingData


@pytest.mark.parametrize(
    "option,share", [("5%", 0.05), ("0.05", 0.05), (0.05, 0.05), (" 12.5 % ", 0.125), (0, 0)]
)
def test_a_share_is_a_number_or_a_percentage(option, share):
    assert share_of(option) == pytest.approx(share)
    assert ImageData("demo", holdout=option).holdout == option


@pytest.mark.parametrize("option", ["five", "", "100%", -0.1, "-1%", 1, float("nan")])
def test_what_is_no_share_is_refused(option):
    with pytest.raises(InputError, match="data.holdout as a share"):
        ImageData("demo", holdout=option)


def test_the_seed_and_nothing_else_chooses():
    chosen = chosen_rows(1000, 0.05, seed=3)
    assert len(set(chosen)) == 50 and set(chosen) <= set(range(1000))
    torch.manual_seed(1)
    assert chosen_rows(1000, 0.05, seed=3) == chosen != chosen_rows(1000, 0.05, seed=4)
    assert chosen_rows(10, 0, seed=0) == [] and len(chosen_rows(10, 0.01, seed=0)) == 1


@pytest.fixture
def folder(tmp_path):
    """20 images, each of whose pixels have its number, with another left half."""
    for k in range(20):
        image = Image.new("RGB", (8, 8), (k, k, k))
        image.paste((255, 255, 255), (0, 0, 4, 8))
        image.save(tmp_path / f"{k:02}.png")
    return tmp_path


def served(dataset, batches=30):
    """The numbers of the images that a loader serves."""
    loader = dataset.loader(4, seed=0)
    images = torch.cat([images for images, _ in itertools.islice(loader, batches)])
    return set(images[:, 0].amin(dim=(1, 2)).tolist())


@pytest.mark.parametrize("mirror", [False, True])
def test_training_gets_all_images_but_those_held_out(folder, mirror):
    dataset = ImageData(str(folder), resolution=8, holdout="20%", mirror=mirror).open(progress=False)
    data = TrainingData(dataset, SimpleNamespace(batch=4), seed=7)
    held_out = {int(name[:2]) for name in data.held_out}
    assert len(held_out) == 4
    assert served(dataset) == set(range(20)) - held_out


def test_an_image_that_is_lost_is_not_replaced_by_one_held_out(folder):
    dataset = ImageData(str(folder), resolution=8, cache_gb=0, workers=0, unreadable="skip").open(
        progress=False
    )
    dataset.hold_out([5, 6])
    (folder / "04.png").write_bytes(b"")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert served(dataset) == set(range(20)) - {4, 5, 6}
        (folder / "05.png").write_bytes(b"")
        assert dataset[5][0].min() == 6


def test_names_from_a_checkpoint_go_before_the_seed(folder):
    dataset = ImageData(str(folder), resolution=8, holdout=0.2).open(progress=False)
    names = ["19.png", "03.png", "gone.png"]
    assert TrainingData(dataset, SimpleNamespace(batch=4), 7, names).held_out == names[:2]
    anew = TrainingData(dataset, SimpleNamespace(batch=4), 7).held_out
    assert (
        TrainingData(dataset, SimpleNamespace(batch=4), 7, ["other.png"]).held_out == anew and len(anew) == 4
    )
    dataset = ImageData(str(folder), resolution=8).open(progress=False)
    assert TrainingData(dataset, SimpleNamespace(batch=4), 7, names).held_out == []


def test_a_share_that_leaves_less_than_a_batch_is_refused(folder):
    dataset = ImageData(str(folder), resolution=8, holdout=0.5).open(progress=False)
    with pytest.raises(InputError, match="found 20 images, 10 of them held out"):
        TrainingData(dataset, SimpleNamespace(batch=11), 0)
