"""No normalization. The scale of the signal follows that of the weights and the styles."""

from .base import Normalization, normalizations


@normalizations.register("none")
class NoNormalization(Normalization):
    """y = x. Leaves weights and features as they are.

    Weights are scaled by 1/√fan_in, so the layer keeps the variance as long as styles stay near 1.
    """
