"""Density (Naeem et al. 2020, arXiv 2002.09797, equation 4), written from the paper.

It is Σ_j Σ_i 1[fake j lies in the ball of real i]/(k·N) for N generated images, where the ball of a real image
reaches to its k-th nearest neighbor among the real ones (k = 5). It measures quality as precision does, but one
outlier among the real images counts for little. It is about 1 for equal distributions, and can be larger.
"""

from __future__ import annotations

from stylegan2.metrics import metrics
from stylegan2.metrics.comparison import NEAREST, Comparison, FeatureMetric


def density(compared: Comparison) -> float:
    """The mean number of real images' balls that a generated image lies in, divided by k."""
    return compared.neighbors.sum().item() / (NEAREST * len(compared.fakes))


metrics.register("density")(FeatureMetric(title="Density", better="higher", least=NEAREST + 1, value=density))
