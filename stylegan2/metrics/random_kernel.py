"""Kernel distance on features of a small random network. It is not KID.

The formula is that of KID (Bińkowski et al. 2018, arXiv 1801.01401): the unbiased estimator of the squared maximum
mean discrepancy with the kernel k(a, b) = (aᵀb/F + 1)³, where F is the number of features. KID uses features of a
classifier and averages over subsets. This metric uses fixed random convolutions and all images at once. Its values
can be compared with each other on the same data, and not with any KID.
"""

from __future__ import annotations

from collections.abc import Iterable

from torch import Tensor

from stylegan2.metrics import metrics
from stylegan2.metrics.features import Features, StandardizedFeatures


def kernel(a: Tensor, b: Tensor) -> Tensor:
    """k(a, b) = (aᵀb/F + 1)³ for every pair of a row of a (N, F) and a row of b (M, F): (N, M)."""
    return (a @ b.T / a.shape[1] + 1) ** 3


def mean_over_pairs(a: Tensor, b: Tensor) -> float:
    """Mean of k over all pairs of one row of a (N, F) and one row of b (M, F)."""
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

    Its expectation does not depend on the number of images. For equal distributions the expectation is 0, and
    values can be negative.

    Args:
        reals: Batches of real images, uint8 (N, C, H, W), two images or more in all.
        features: The features to compare. None: `RandomFeatures`.

    Raises:
        ValueError: There are fewer than two real images.
    """

    def __init__(self, reals: Iterable[Tensor], features: Features | None = None):
        self.features = StandardizedFeatures(reals, features)
        self.among_reals = mean_over_distinct_pairs(self.features.reals)

    def __call__(self, images: Iterable[Tensor]) -> float:
        """The distance of generated images, given as batches of uint8 (N, C, H, W), two images or more in all."""
        found = self.features(images)
        across = mean_over_pairs(self.features.reals, found)
        return self.among_reals + mean_over_distinct_pairs(found) - 2 * across
