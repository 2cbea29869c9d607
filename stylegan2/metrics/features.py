"""Features of images from a small convolutional network with fixed random weights, which need no download.

They depend on color, contrast, spectrum, layout and variety, which is enough to rank runs early in training. They
do not model human judgment. A distance between them cannot be compared with one between a classifier's features.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import chain

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

Features = Callable[[Tensor], Tensor]
"""Function of images, uint8 (N, C, H, W), that returns features, float64 (N, F), on the CPU. Features of a
classifier such as Inception can be given here."""


class RandomFeatures:
    """Features of a fixed random convolutional network at several scales. They are the same on every machine.

    Each stage is a 3×3 convolution with orthonormal kernels, the absolute value (so that contrast of either sign
    counts) and 2×2 averaging. The features are the means of the image and of each stage's output over the cells
    of a 2×2 grid. The kernels come from NumPy's RandomState, whose numbers never change (NEP 19).

    Args:
        channels: Channels of the images.
        width: Kernels per stage.
        stages: Number of stages. Averaging stops at a height or width of one pixel.
        seed: Seed of the kernels.
    """

    def __init__(self, channels: int = 3, width: int = 16, stages: int = 3, seed: int = 0):
        random, fan_in = np.random.RandomState(seed), channels
        self.kernels = []
        for _ in range(stages):
            kernels = random.randn(width, fan_in * 9)
            # Rows have length 1. Rows of one half are orthogonal if there are enough inputs.
            kernels = np.concatenate([np.linalg.qr(half.T)[0].T for half in np.array_split(kernels, 2)])
            self.kernels.append(torch.from_numpy(kernels.reshape(width, fan_in, 3, 3)).float())
            fan_in = width

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Tensor:
        """Features, float64 (N, 4·(C + stages·width)) on the CPU, of images, uint8 (N, C, H, W)."""
        x = images.float() / 127.5 - 1
        features = [F.adaptive_avg_pool2d(x, 2).flatten(1)]
        for kernels in self.kernels:
            x = F.conv2d(F.pad(x, (1, 1, 1, 1), mode="replicate"), kernels.to(x)).abs()
            features.append(F.adaptive_avg_pool2d(x, 2).flatten(1))
            x = F.avg_pool2d(x, 2) if min(x.shape[2:]) > 1 else x
        return torch.cat(features, dim=1).double().cpu()


class StandardizedFeatures:
    """Features shifted and scaled so that each has mean 0 and standard deviation 1 over the real images.

    No single feature then dominates a distance.

    Args:
        reals: Batches of real images, uint8 (N, C, H, W), two images or more in all.
        features: The features to standardize. None: `RandomFeatures`.

    Raises:
        ValueError: There are fewer than two real images.
    """

    def __init__(self, reals: Iterable[Tensor], features: Features | None = None):
        reals = iter(reals)
        first = next(reals, torch.empty(0, 1, 1, 1))
        self.features = features or RandomFeatures(first.shape[1])
        found = torch.cat([self.features(images) for images in chain([first], reals)])
        if len(found) < 2:
            raise ValueError(f"expected two real images or more, found {len(found)}; give more images")
        self.mean, self.std = found.mean(dim=0), found.std(dim=0).clamp_min(1e-12)
        self.reals = (found - self.mean) / self.std
        """The real images' features, float64 (N, F)."""

    def __call__(self, images: Iterable[Tensor]) -> Tensor:
        """Features, float64 (N, F), of all images in some batches, uint8 (N, C, H, W)."""
        return (torch.cat([self.features(batch) for batch in images]) - self.mean) / self.std
