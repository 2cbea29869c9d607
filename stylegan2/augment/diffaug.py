"""DiffAugment (Zhao et al. 2020, arXiv 2006.10738): color, translation and cutout of every image."""

from __future__ import annotations

import torch
from torch import Tensor

from . import Augmentation, augmentations
from .pipeline.corruption import cut_out
from .translation import translated


@augmentations.register("diffaug")
class DiffAugment(Augmentation):
    """Color, translation and cutout, which the paper recommends for 10 to 20 % of a data set and less (its §4).

    It acts on every image, so unlike "ada" and "fixed" it may leak into the generated images.
    """

    def forward(self, images: Tensor) -> Tensor:
        return random_cutout(translated(random_color(images)))


def random_color(images: Tensor) -> Tensor:
    """Brightness, saturation and contrast, in this order, of images (N, C, H, W) in [-1, 1].

    Brightness adds u - ½, saturation scales the distance of each pixel from the mean of its channels by 2u, and
    contrast scales the distance from the mean of the image by u + ½. Each u is uniform in [0, 1).
    """

    def u() -> Tensor:
        return torch.rand(len(images), 1, 1, 1, device=images.device, dtype=images.dtype)

    images = images + u() - 0.5
    gray = images.mean(dim=1, keepdim=True)
    images = gray + (images - gray) * (2 * u())
    mean = images.mean(dim=(1, 2, 3), keepdim=True)
    return mean + (images - mean) * (u() + 0.5)


def random_cutout(images: Tensor) -> Tensor:
    """Images (N, C, H, W) with a rectangle of half the height and width, around any pixel, set to zero."""
    n, _, height, width = images.shape
    size = images.new_tensor([width, height])
    pixel = (torch.rand(n, 2, device=images.device, dtype=images.dtype) * (size + 1)).floor()
    return cut_out(images, pixel / size, images.new_full((n,), 0.5))
