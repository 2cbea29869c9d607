"""Augmentations by name: what they do to images, and that penalties can run through them."""

import pytest
import torch
from torch.autograd import gradgradcheck

from stylegan2.augment import augmentations


def test_none_changes_nothing():
    images = torch.randn(2, 3, 8, 8)
    assert augmentations["none"]()(images) is images


def test_translation_moves_whole_images_by_up_to_an_eighth():
    torch.manual_seed(0)
    images = torch.rand(200, 1, 16, 24) + 1
    moved, seen = augmentations["translation"]()(images), set()
    for before, after in zip(images[:, 0], moved[:, 0]):
        (dy, dx), *more = [
            (dy, dx)
            for dy in range(-2, 3)
            for dx in range(-3, 4)
            if torch.equal(shifted(before, dy, dx), after)
        ]
        assert not more
        seen.add((dy, dx))
    assert {dy for dy, _ in seen} == set(range(-2, 3)) and {dx for _, dx in seen} == set(range(-3, 4))


def shifted(image, dy, dx):
    """The image moved down and to the right, zeros where nothing comes from."""
    h, w = image.shape
    out = torch.zeros_like(image)
    for y in range(h):
        for x in range(w):
            if 0 <= y - dy < h and 0 <= x - dx < w:
                out[y, x] = image[y - dy, x - dx]
    return out


@pytest.mark.parametrize("name", list(augmentations))
def test_augmentations_are_differentiable_twice(name):
    augmentation = augmentations[name]()

    def same_draws(images):
        torch.manual_seed(1)
        return augmentation(images) ** 2

    assert gradgradcheck(same_draws, torch.randn(2, 1, 8, 8, dtype=torch.float64, requires_grad=True))
