"""Coverage (Naeem et al. 2020, arXiv 2002.09797, equation 5), written from the paper.

It is the share of real images whose ball holds a generated image. The ball reaches to the real image's k-th nearest
neighbor among the real ones (k = 5). It measures variety. Its expectation for equal distributions and equally many
images is 1 - 2^-k, about 0.97.
"""

from __future__ import annotations

from stylegan2.metrics import metrics
from stylegan2.metrics.comparison import NEAREST, Comparison, FeatureMetric


def coverage(compared: Comparison) -> float:
    """The share of real images with a generated image in their ball, from 0 to 1."""
    return (compared.neighbors > 0).double().mean().item()


metrics.register("coverage")(
    FeatureMetric(title="Coverage", better="higher", least=NEAREST + 1, value=coverage)
)
