"""Augmentations by name: what they do to images, and that penalties can run through them."""

import math

import pytest
import torch
from torch.autograd import gradgradcheck

from stylegan2.augment import augmentations
from stylegan2.augment.diffaug import random_color, random_cutout
from stylegan2.augment.options import ADAOptions, Multipliers, Strengths
from stylegan2.errors import InputError


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
    augmentation = augmentations[name].configured(ADAOptions(p=1))

    def same_draws(images):
        torch.manual_seed(1)
        return augmentation(images) ** 2

    assert gradgradcheck(same_draws, torch.randn(2, 1, 8, 8, dtype=torch.float64, requires_grad=True))


def test_p_follows_the_sign_of_the_reals_as_the_formula_says():
    ada = augmentations["ada"].configured(ADAOptions(speed=1, interval=4, target=0.6))
    seen, p = [], 0.0
    signs = [1.0] * 9 + [0.6] * 4 + [0.5, 0.7, 0.9, 0.2] * 10
    for k, sign in enumerate(signs):
        ada.adapt(torch.tensor(sign), images=16)
        if k % 4 == 3:
            mean = sum(signs[k - 3 : k + 1]) / 4
            step = 0 if abs(mean - 0.6) < 1e-6 else math.copysign(64 / 1000, mean - 0.6)
            p = max(0.0, p + step)
        seen.append(float(ada.p))
        assert seen[-1] == pytest.approx(p, abs=1e-6)
    assert max(seen) > 0.1 and seen[-1] == 0


def test_p_goes_from_0_to_1_in_the_given_images():
    ada = augmentations["ada"].configured(ADAOptions(speed=2))
    for _ in range(2000 // 8):
        ada.adapt(torch.tensor(1.0), images=8)
    assert float(ada.p) == pytest.approx(0.992, abs=1e-5)  # 250 iterations have 62 adjustments
    assert ada.statistics()["augment_p"] == ada.p


def test_p_is_kept_by_ada_and_set_by_the_options_for_fixed():
    assert set(augmentations["ada"]().state_dict()) == {"p", "signs", "images", "iterations"}
    assert not augmentations["fixed"]().state_dict() and not augmentations["none"]().state_dict()
    for name, p in (("ada", 0.0), ("fixed", 0.2)):
        assert float(augmentations[name]().p) == pytest.approx(p)
        assert float(augmentations[name].configured(ADAOptions(p=0.7)).p) == pytest.approx(0.7)


def test_fixed_with_p_of_1_augments_every_image_and_with_0_none():
    images = torch.rand(8, 3, 16, 16)
    changed = augmentations["fixed"].configured(ADAOptions(p=1))(images) != images
    assert changed.flatten(1).any(dim=1).all()
    torch.testing.assert_close(augmentations["fixed"].configured(ADAOptions(p=0))(images), images)


@pytest.mark.parametrize(
    "options,words",
    [
        ({"p": 1.5}, "ada.p from 0 to 1"),
        ({"target": 2}, "ada.target"),
        ({"speed": 0}, "ada.speed above 0"),
        ({"interval": 0}, "ada.interval of 1 or more"),
        ({"groups": ["blot"]}, "Did you mean blit"),
    ],
    ids=lambda v: next(iter(v)) if isinstance(v, dict) else "",
)
def test_options_out_of_range_are_refused(options, words):
    with pytest.raises(InputError, match=words):
        ADAOptions(**options)


def test_negative_multipliers_and_strengths_are_refused():
    for kind, words in ((Multipliers, "ada.multipliers.hue"), (Strengths, "ada.strengths.hue")):
        with pytest.raises(InputError, match=words):
            kind(hue=-1)


def test_diffaugment_changes_color_as_the_paper_says():
    torch.manual_seed(0)
    images = torch.rand(2000, 3, 2, 2, dtype=torch.float64) * 2 - 1
    changed = random_color(images)
    # Channels' differences from their mean are scaled by s·c, with s from 0 to 2 and c from ½ to 1½.
    before, after = (x - x.mean(dim=1, keepdim=True) for x in (images, changed))
    scale = (after * before).sum(dim=(1, 2, 3)) / (before**2).sum(dim=(1, 2, 3))
    torch.testing.assert_close(after, scale[:, None, None, None] * before)
    assert 0 <= scale.min() < 0.1 and 2.5 < scale.max() <= 3
    shift = (changed - images).mean(dim=(1, 2, 3))
    assert -0.5 <= shift.min() < -0.45 and 0.45 < shift.max() <= 0.5
    gray, changed_gray = (x.mean(dim=1) - x.mean(dim=(1, 2, 3))[:, None, None] for x in (images, changed))
    contrast = (gray * changed_gray).sum(dim=(1, 2)) / (gray**2).sum(dim=(1, 2))
    torch.testing.assert_close(changed_gray, contrast[:, None, None] * gray)
    assert 0.5 <= contrast.min() < 0.55 and 1.45 < contrast.max() <= 1.5


def test_diffaugment_cuts_out_half_the_height_and_width_anywhere():
    torch.manual_seed(0)
    holes = random_cutout(torch.ones(3000, 1, 8, 16))[:, 0] == 0
    rows, columns = holes.any(dim=2).sum(dim=1), holes.any(dim=1).sum(dim=1)
    assert torch.equal(holes.sum(dim=(1, 2)), rows * columns)  # rectangles
    assert rows.max() == 4 and columns.max() == 8 and rows.min() == 2 and columns.min() == 4
    assert holes.any(dim=0).all()
