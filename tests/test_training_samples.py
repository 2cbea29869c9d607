"""Sample grids: every class, labels of the data set, the same places in reals.png."""

import os
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from image_sets import images_of, make_two_classes, noise, write_labels
from PIL import Image

from stylegan2.training.samples import Samples, balanced_images, grid_size


class Recorder(torch.nn.Module):
    """Stands for a generator: remembers its labels, and gives gray images of what they say."""

    image_size, z_dim = (8, 8), 4

    def forward(self, z, c, noise):
        self.labels = torch.cat([getattr(self, "labels", c[:0]), c])
        return torch.zeros(len(z), 3, 8, 8)


def sampled(folder, dataset):
    """The labels of a sample grid, and the pixels of reals.png as (rows, columns, 8, 8, 3)."""
    network = Recorder()
    module = SimpleNamespace(
        generator=network, sampling_generator=network, images=0, device="cpu", dtype=torch.float32
    )
    trainer = SimpleNamespace(is_global_zero=True, loggers=[])
    Samples(folder, 1, dataset, seed=0).on_train_start(trainer, module)
    assert sorted(os.listdir(folder)) == ["kimg00000.000.png", "reals.png"]
    reals = np.asarray(Image.open(folder / "reals.png"))
    assert Image.open(folder / "kimg00000.000.png").size == reals.shape[1::-1]
    return network.labels, reals.reshape(-1, 8, 16, 8, 3).swapaxes(1, 2)


@pytest.mark.parametrize("resolution", [8, 32, 64, 128, 256, 512, 1024])
@pytest.mark.parametrize("classes", [0, 1, 2, 9, 16, 100, 1000])
def test_a_grid_has_room_for_every_class_where_it_can(resolution, classes):
    columns, rows = grid_size(resolution, classes)
    assert columns * rows <= 192 and rows * resolution <= 4096
    assert columns * rows >= min(classes, 12)
    if classes in (2, 9) and resolution <= 256:
        assert rows % classes == 0  # rows of their own


def test_nine_classes_at_256_have_nine_rows():
    assert grid_size(256, 9) == (4, 9)


def test_a_grid_shows_every_class_as_often_and_reals_show_the_same_classes(tmp_path):
    dataset = images_of(make_two_classes(tmp_path / "data"), classes="folders")
    labels, reals = sampled(tmp_path / "samples", dataset)
    assert labels.argmax(1).tolist() == [0] * 96 + [1] * 96
    pixels = [dataset[k][0].permute(1, 2, 0).numpy() for k in range(6)]
    classes = dataset.labels(range(6)).argmax(1)
    for row, column in [(0, 0), (5, 15), (6, 0), (11, 15)]:
        (found,) = (k for k in range(6) if np.array_equal(pixels[k], reals[row, column]))
        assert classes[found] == row // 6


def test_vectors_of_a_grid_are_labels_of_the_data_set_and_those_of_its_reals(tmp_path):
    vectors = [[0.1 * k, 0.9 - 0.1 * k, 0.25] for k in range(7)]
    pixels = [noise(tmp_path / f"data/{k}.png", 8, k) for k in range(7)]
    write_labels(tmp_path / "data", [[f"{k}.png", vector] for k, vector in enumerate(vectors)])
    labels, reals = sampled(tmp_path / "samples", images_of(tmp_path / "data", classes="labels"))
    for label, real in zip(labels, reals.reshape(-1, 8, 8, 3)):
        (found,) = (k for k in range(7) if np.array_equal(pixels[k], real))
        assert label.tolist() == pytest.approx(vectors[found])


def test_images_without_labels_are_random_and_come_again_if_there_are_few(tmp_path):
    for k in range(5):
        noise(tmp_path / f"{k}.png", 8, k)
    rows = balanced_images(images_of(tmp_path), 12, torch.Generator().manual_seed(0))
    assert sorted(rows[:5]) == list(range(5)) and rows[5:10] == rows[:5] and rows[:5] != list(range(5))


def test_of_too_many_classes_some_are_left_out_evenly(tmp_path):
    for k in range(10):
        noise(tmp_path / f"{k}.png", 8, k)
    write_labels(tmp_path, [[f"{k}.png", k] for k in range(10)])
    dataset = images_of(tmp_path, classes="labels")
    rows = balanced_images(dataset, 5, torch.Generator().manual_seed(0))
    assert dataset.labels(rows).argmax(1).tolist() == [0, 2, 4, 6, 8]
