"""Local response normalization of features (Krizhevsky et al. 2012, the AlexNet paper, §3.3)."""

from __future__ import annotations

from torch import nn

from .base import in_layers


@in_layers("local_response")
class LocalResponseNorm(nn.LocalResponseNorm):
    """y = x/(k + α/n·Σ x²)^β, summed over a window of n channels around each channel.

    It is `torch.nn.LocalResponseNorm`, which divides α by n. The papers' α = 1e-4 is for images from 0 to 255. For
    features of unit variance the default here is α = 1, with k = 1 and β = 3/4, so features of rms 1 become smaller
    by about 2^(-3/4).

    Args:
        num_features: Number of channels.
        size: n.
        alpha: α.
        beta: β.
        k: k.
    """

    def __init__(
        self, num_features: int, size: int = 5, alpha: float = 1.0, beta: float = 0.75, k: float = 1.0
    ):
        super().__init__(size, alpha=alpha, beta=beta, k=k)
