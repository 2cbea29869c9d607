"""Inception score (Salimans et al. 2016, arXiv 1606.03498), by torch-fidelity.

It is exp(E KL(p(y|x) ‖ p(y))), where p(y|x) are a classifier's probabilities for an image, averaged over ten parts of
the generated images. It sees no real image: it rewards confident classes and many of them.
"""

from __future__ import annotations

from stylegan2.metrics import metrics
from stylegan2.metrics.comparison import Comparison, FeatureMetric

SPLITS = 10


def classifier_score(compared: Comparison) -> float:
    """The score of the generated images' logits, from 1 to the number of classes."""
    from torch_fidelity.metric_isc import KEY_METRIC_ISC_MEAN, isc_features_to_metric

    found = isc_features_to_metric(compared.logits, splits=SPLITS, rng_seed=compared.seed % 2**32)
    return float(found[KEY_METRIC_ISC_MEAN])


metrics.register("inception_score")(
    FeatureMetric(
        title="Classifier score",
        published="Inception score",
        better="higher",
        needs="logits",
        least=SPLITS,
        value=classifier_score,
    )
)
