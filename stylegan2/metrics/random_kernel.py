"""Kernel distance on features of a small random network. It is not KID.

The distance is KID's (Bińkowski et al. 2018, arXiv 1801.01401): the squared maximum mean discrepancy with the
kernel k(a, b) = (aᵀb/F + 1)³, F the number of features, by its unbiased estimator. KID's features come from a
classifier, and it averages over subsets. This distance takes fixed random convolutions and all images at
once, so a value cannot be compared with any KID, and only with others on the same data.
"""

from __future__ import annotations

from collections.abc import Iterable

from torch import Tensor

from stylegan2.metrics import metrics
from stylegan2.metrics.features import Features, StandardizedFeatures


def kernel(a: Tensor, b: Tensor) -> Tensor:
    """k(a, b) = (aᵀb/F + 1)³ for every pair: (N, F) and (M, F) to (N, M)."""
    return (a @ b.T / a.shape[1] + 1) ** 3


def mean_over_pairs(a: Tensor, b: Tensor) -> float:
    """Mean of k over all pairs of a row of a (N, F) and a row of b (M, F)."""
    total = sum(kernel(rows, b).sum().item() for rows in a.split(1024))
    return total / (len(a) * len(b))


def mean_over_distinct_pairs(a: Tensor) -> float:
    """Mean of k over all pairs of two different rows of a (N, F), N ≥ 2."""
    n = len(a)
    diagonal = ((a.square().sum(dim=1) / a.shape[1] + 1) ** 3).sum().item()
    return (mean_over_pairs(a, a) * n * n - diagonal) / (n * (n - 1))


@metrics.register("random_kernel")
class RandomKernel:
    """Kernel distance on standardized features of a fixed random convolutional network (not KID).

    Its expectation does not depend on the number of images. Equal distributions have the expectation 0, and
    single values may lie below it.

    Args:
        reals: Batches of real images, uint8 (N, C, H, W), two images or more in all.
        features: What to compare by. None: `RandomFeatures`.
    """

    def __init__(self, reals: Iterable[Tensor], features: Features | None = None):
        self.features = StandardizedFeatures(reals, features)
        self.among_reals = mean_over_distinct_pairs(self.features.reals)

    def __call__(self, images: Iterable[Tensor]) -> float:
        """images: batches, uint8 (N, C, H, W), two images or more in all."""
        found = self.features(images)
        across = mean_over_pairs(self.features.reals, found)
        return self.among_reals + mean_over_distinct_pairs(found) - 2 * across
