"""Diversity: the standard deviation of a pixel across latents, over the rms of the images.

The noise of the generator is the same for all images, so that only the latents make them differ. A generator that
ignores its latents has 0, whatever its noise does. Real images of the same data set have the value to compare with.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from stylegan2.metrics import metrics


@metrics.register("diversity")
class Diversity:
    """Standard deviation of a pixel across images over the rms of pixels in [-1, 1], both averaged in square.

    Args:
        reals: Real images, which are not looked at.
    """

    better, noise = "higher", "const"

    def __init__(self, reals: Iterable[Tensor] = ()):
        pass

    def __call__(self, images: Iterable[Tensor]) -> float:
        """The ratio, from 0 to about 1, of images given as batches of uint8 (N, C, H, W), two or more in all."""
        count, total, squares = 0, torch.zeros(()).double(), torch.zeros(()).double()
        for batch in images:
            x = batch.double() / 127.5 - 1
            count, total, squares = count + len(x), total + x.sum(dim=0), squares + x.square().sum(dim=0)
        variance = (squares - total.square() / count).clamp_min(0) / (count - 1)
        return (variance.mean() / (squares / count).mean().clamp_min(1e-12)).sqrt().item()
