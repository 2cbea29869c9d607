"""Fréchet distance on features of a small random network: a quality distance that needs no download. Not FID.

The distance is FID's (Heusel et al. 2017): ‖μ₁ - μ₂‖² + tr(Σ₁ + Σ₂ - 2·(Σ₁Σ₂)^½) between normal
distributions fitted to features of two sets of images. FID's features come from a classifier and follow human
judgement; these come from fixed random convolutions, so the numbers cannot be compared with any FID, and only
with each other on the same data. They see colour, contrast, spectrum, layout and variety, which is enough to
rank early training.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

Features = Callable[[Tensor], Tensor]
"""Images uint8 (N, C, H, W) to features float (N, F): where Inception's would be put in."""


class RandomFeatures:
    """Features of a fixed random convolutional network at several scales; the same on every machine.

    Three stages of 3×3 convolution with orthonormal kernels, absolute value (contrast of either sign counts)
    and 2×2 averaging; features are the means over a 2×2 grid after each stage, and of the image itself.
    Kernels come from NumPy's RandomState, whose stream is frozen for good (NEP 19).

    Args:
        channels: Of the images.
        width: Kernels a stage.
        stages: Number of scales; an image of H×W needs H ≥ 2^(stages + 1).
        seed: Of the kernels.
    """

    def __init__(self, channels: int = 3, width: int = 16, stages: int = 3, seed: int = 0):
        random, fan_in = np.random.RandomState(seed), channels
        self.kernels = []
        for _ in range(stages):
            kernels = random.randn(width, fan_in * 9)
            # Rows of length 1; orthogonal to each other as far as there are enough inputs.
            kernels = np.concatenate([np.linalg.qr(part.T)[0].T for part in np.array_split(kernels, 2)])
            self.kernels.append(torch.from_numpy(kernels.reshape(width, fan_in, 3, 3)).float())
            fan_in = width

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Tensor:
        """Images uint8 (N, C, H, W) to features float64 (N, 4·(C + stages·width)) on the CPU."""
        x = images.float() / 127.5 - 1
        found = [F.adaptive_avg_pool2d(x, 2).flatten(1)]
        for kernels in self.kernels:
            x = F.conv2d(F.pad(x, (1, 1, 1, 1), mode="replicate"), kernels.to(x)).abs()
            found.append(F.adaptive_avg_pool2d(x, 2).flatten(1))
            x = F.avg_pool2d(x, 2)
        return torch.cat(found, dim=1).double().cpu()


@dataclass(frozen=True, kw_only=True)
class Normal:
    """Mean (F,) and covariance (F, F) of features."""

    mean: Tensor
    covariance: Tensor

    @staticmethod
    def fit(features: Tensor) -> Normal:
        """features: (N, F), N ≥ 2."""
        return Normal(mean=features.mean(dim=0), covariance=torch.atleast_2d(torch.cov(features.T)))


def frechet_distance(a: Normal, b: Normal) -> float:
    """‖μ₁ - μ₂‖² + tr(Σ₁ + Σ₂ - 2·(Σ₁Σ₂)^½), 0 or more.

    The trace of the root comes from the eigenvalues of the symmetric Σ₁^½·Σ₂·Σ₁^½, which has those of Σ₁Σ₂.
    """
    values, vectors = torch.linalg.eigh(a.covariance)
    root = vectors * values.clamp_min(0).sqrt() @ vectors.T
    cross = torch.linalg.eigvalsh(root @ b.covariance @ root).clamp_min(0).sqrt().sum()
    trace = a.covariance.trace() + b.covariance.trace() - 2 * cross
    return max(((a.mean - b.mean).square().sum() + trace).item(), 0.0)


class RandomFrechet:
    """Distance of images to a fixed set of real ones, in units of the real features' spread.

    Every feature is divided by its standard deviation over the real images, so that none dominates. The
    distance falls as more samples are taken: compare values of one n.

    Args:
        reals: Batches of images, uint8 (N, C, H, W).
        features: What to compare by. None: `RandomFeatures`.
    """

    def __init__(self, reals: Iterable[Tensor], features: Features | None = None):
        reals = list(reals)
        self.features = features or RandomFeatures(reals[0].shape[1])
        found = torch.cat([self.features(images) for images in reals])
        self.scale = found.std(dim=0).clamp_min(1e-12)
        self.count, self.reals = len(found), Normal.fit(found / self.scale)

    def __call__(self, images: Iterable[Tensor]) -> float:
        """images: batches, uint8 (N, C, H, W), two images or more in all."""
        found = torch.cat([self.features(batch) for batch in images])
        return frechet_distance(self.reals, Normal.fit(found / self.scale))

    def of(self, sample: Callable[[int], Tensor], n: int, batch: int = 64) -> float:
        """Distance of n images, drawn by `sample`: a number to that many images, uint8 (number, C, H, W)."""
        return self(sample(min(batch, n - start)) for start in range(0, n, batch))
