"""Fréchet distance on features of a small random network. It is not FID.

The formula is that of FID (Heusel et al. 2017, arXiv 1706.08500): ‖μ₁ - μ₂‖² + tr(Σ₁ + Σ₂ - 2·(Σ₁Σ₂)^½) between
normal distributions fitted to features of two sets of images. FID uses features of a classifier. This metric uses
fixed random convolutions. Its values can be compared with each other on the same data, and not with any FID.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from stylegan2.metrics import metrics
from stylegan2.metrics.features import Features, StandardizedFeatures


@dataclass(frozen=True, kw_only=True)
class Normal:
    """A normal distribution: its mean (F,) and covariance (F, F)."""

    mean: Tensor
    covariance: Tensor

    @staticmethod
    def fit(features: Tensor) -> Normal:
        """The distribution of features (N, F), N ≥ 2."""
        return Normal(mean=features.mean(dim=0), covariance=torch.atleast_2d(torch.cov(features.T)))


def frechet_distance(a: Normal, b: Normal) -> float:
    """The Fréchet distance ‖μ₁ - μ₂‖² + tr(Σ₁ + Σ₂ - 2·(Σ₁Σ₂)^½), which is 0 or more.

    The trace of the root is the sum of the roots of the eigenvalues of the symmetric matrix Σ₁^½·Σ₂·Σ₁^½, which
    has the same eigenvalues as Σ₁Σ₂.
    """
    values, vectors = torch.linalg.eigh(a.covariance)
    root = vectors * values.clamp_min(0).sqrt() @ vectors.T
    cross = torch.linalg.eigvalsh(root @ b.covariance @ root).clamp_min(0).sqrt().sum()
    trace = a.covariance.trace() + b.covariance.trace() - 2 * cross
    return max(((a.mean - b.mean).square().sum() + trace).item(), 0.0)


@metrics.register("random_frechet")
class RandomFrechet:
    """Fréchet distance on standardized features of a fixed random convolutional network (not FID).

    The distance falls as more images are generated, so only values over the same number of images can be compared.

    Args:
        reals: Batches of real images, uint8 (N, C, H, W), two images or more in all.
        features: The features to compare. None: `RandomFeatures`.

    Raises:
        ValueError: There are fewer than two real images.
    """

    def __init__(self, reals: Iterable[Tensor], features: Features | None = None):
        self.features = StandardizedFeatures(reals, features)
        self.reals = Normal.fit(self.features.reals)

    def __call__(self, images: Iterable[Tensor]) -> float:
        """The distance of generated images, given as batches of uint8 (N, C, H, W), two images or more in all."""
        return frechet_distance(self.reals, Normal.fit(self.features(images)))
