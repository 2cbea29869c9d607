"""Fréchet inception distance (Heusel et al. 2017, arXiv 1706.08500), by torch-fidelity.

The distance is ‖μ₁ - μ₂‖² + tr(Σ₁ + Σ₂ - 2·(Σ₁Σ₂)^½) between normal distributions fitted to the features of two sets.
It falls as more images are generated, so only figures over the same number of images can be compared.
"""

from __future__ import annotations

from stylegan2.metrics import metrics
from stylegan2.metrics.comparison import Comparison, FeatureMetric


def frechet(compared: Comparison) -> float:
    """The Fréchet distance of the features, in float64. Rounding can make it slightly negative, which gives 0."""
    from torch_fidelity.metric_fid import (
        KEY_METRIC_FID,
        fid_features_to_statistics,
        fid_statistics_to_metric,
    )

    fitted = [fid_features_to_statistics(features.double()) for features in (compared.fakes, compared.reals)]
    return max(float(fid_statistics_to_metric(*fitted, verbose=False)[KEY_METRIC_FID]), 0.0)


metrics.register("fid")(
    FeatureMetric(title="Fréchet distance", published="FID", better="lower", value=frechet)
)
