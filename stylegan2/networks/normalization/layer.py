"""Layer normalization of features (Ba et al. 2016, arXiv 1607.06450)."""

from __future__ import annotations

from .base import in_layers
from .group import GroupNorm


@in_layers("layer")
class LayerNorm(GroupNorm):
    """y = γ·(x - μ)/√(σ² + ε) + β, with μ and σ² over channels and pixels of one sample, and γ, β per channel.

    It is `torch.nn.GroupNorm` with one group.
    """

    def __init__(self, num_features: int, eps: float = 1e-5, affine: bool = True):
        super().__init__(num_features, 1, eps=eps, affine=affine)
