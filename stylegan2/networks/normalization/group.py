"""Group normalization of features (Wu and He 2018, arXiv 1803.08494)."""

from torch import Tensor, nn

from . import Normalization, normalizations


@normalizations.register("group")
class GroupNormalization(Normalization):
    """y = γ·(x - μ)/√(σ² + ε) + β, with μ and σ² over the pixels and a group of channels, and ε = 1e-5.

    The number of groups is the largest divisor of the number of channels that is at most 32.
    """

    def __init__(self, weight: Tensor):
        super().__init__(weight)
        channels = len(weight)
        groups = max(g for g in range(1, min(32, channels) + 1) if channels % g == 0)
        self.norm = nn.GroupNorm(groups, channels)

    def features(self, x: Tensor) -> Tensor:
        normalized: Tensor = self.norm(x.to(self.norm.weight.dtype))
        return normalized.to(x.dtype)
