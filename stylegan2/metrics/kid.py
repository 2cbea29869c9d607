"""Kernel inception distance (Bińkowski et al. 2018, arXiv 1801.01401), by torch-fidelity.

It is the unbiased estimator of the squared maximum mean discrepancy with the kernel k(a, b) = (aᵀb/F + 1)³, averaged
over 100 random subsets of 1,000 images (of all images, if there are fewer). Its expectation does not depend on the
number of images. It is 0 for equal distributions, and a figure can be negative.
"""

from __future__ import annotations

from stylegan2.metrics import metrics
from stylegan2.metrics.comparison import Comparison, FeatureMetric

SUBSETS, SUBSET_SIZE = 100, 1000


def kernel_distance(compared: Comparison) -> float:
    """The mean over subsets of the kernel distance of the features, in float64."""
    from torch_fidelity.metric_kid import KEY_METRIC_KID_MEAN, kid_features_to_metric

    size = min(SUBSET_SIZE, len(compared.fakes), len(compared.reals))
    found = kid_features_to_metric(
        compared.fakes.double(),
        compared.reals.double(),
        kid_subsets=SUBSETS,
        kid_subset_size=size,
        rng_seed=compared.seed % 2**32,
        verbose=False,
    )
    return float(found[KEY_METRIC_KID_MEAN])


metrics.register("kid")(
    FeatureMetric(title="Kernel distance", published="KID", better="lower", value=kernel_distance)
)
