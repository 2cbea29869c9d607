"""Recall (Kynkäänniemi et al. 2019, arXiv 1904.06991), by torch-fidelity.

It is the share of real images that lie within the manifold of the generated ones, and measures variety. A manifold is
the union of balls around the images' features that reach to the third nearest neighbor of each. The paper uses
features of VGG-16, so figures with other features cannot be compared with the paper's.
"""

from __future__ import annotations

from stylegan2.metrics import metrics
from stylegan2.metrics.comparison import FeatureMetric

metrics.register("recall")(
    FeatureMetric(
        title="Recall",
        better="higher",
        least=5,
        value=lambda compared: compared.precision_and_recall["recall"],
    )
)
