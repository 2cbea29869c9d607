"""No normalization: the signal's scale follows the weights' and the styles'."""

from . import Normalization, normalizations


@normalizations.register("none")
class NoNormalization(Normalization):
    """Weights keep 1/√fan_in, so the layer keeps the variance as long as styles stay near 1."""
