"""Adaptive discriminator augmentation (Karras et al. 2020, arXiv 2006.06676, section 3)."""

from __future__ import annotations

import torch
from torch import Tensor

from . import augmentations
from .fixed import Fixed
from .options import ADAOptions


@augmentations.register("ada")
class ADA(Fixed):
    """The pipeline with a probability that follows the sign of D's logits for real images.

    Every `interval` iterations, with r_t = E[sign(D(x))] over the real images since the previous adjustment and n
    such images:

        p ← max(0, p + sign(r_t - target) · n / (1000 · speed))

    A large r_t means that D is positive for nearly all real images, which is overfitting.

    Args:
        options: The start of p, how p adapts, the transforms and their strengths.
    """

    signs: Tensor
    """Sum of r_t · images since the previous adjustment, a scalar."""

    images: Tensor
    """Images since the previous adjustment, a scalar."""

    iterations: Tensor
    """Iterations since the previous adjustment, a scalar."""

    default_p, in_checkpoints = 0.0, True

    def __init__(self, options: ADAOptions | None = None):
        super().__init__(options)
        for name in ("signs", "images", "iterations"):
            self.register_buffer(name, torch.tensor(0.0))

    def adapt(self, r_t: Tensor, images: int) -> None:
        # Without a branch on a tensor, a GPU need not be waited for.
        self.signs += r_t * images
        self.images += images
        self.iterations += 1
        due = self.iterations >= self.options.interval
        step = torch.sign(self.signs / self.images - self.options.target)
        p = (self.p + step * self.images / (1000 * self.options.speed)).clamp(min=0)
        self.p.copy_(torch.where(due, p, self.p))
        for total in (self.signs, self.images, self.iterations):
            total.mul_(~due)
