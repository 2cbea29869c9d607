"""Local contrast normalization of features (Jarrett et al. 2009, §2)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .base import in_layers


@in_layers("local_contrast")
class LocalContrastNorm(nn.Module):
    """v = x - Σ w·x; y = v/√(max(c², Σ w·v²) + ε), where c is the mean of √(Σ w·v²) over the pixels of a sample.

    w is a Gaussian window over pixels, divided by the number of channels, so both sums run over all channels. At the
    border, the part of the window within the image is renormalized to a sum of 1.

    Args:
        num_features: Number of channels.
        size: Side of the window in pixels, an odd number.
        eps: ε.
    """

    window: Tensor

    def __init__(self, num_features: int, size: int = 9, eps: float = 1e-5):
        super().__init__()
        self.eps = eps
        at = torch.arange(size, dtype=torch.float64) - (size - 1) / 2
        self.register_buffer("window", (-at.square() / (2 * (size / 4) ** 2)).exp(), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        v = x - self._local_mean(x)
        power = self._local_mean(v.square())
        root = (power + self.eps).sqrt()
        least = root.mean(dim=(2, 3), keepdim=True)
        return v / torch.maximum(root, least)

    def _local_mean(self, x: Tensor) -> Tensor:
        """The weighted mean over the window and all channels, (N, 1, H, W)."""
        x = x.mean(dim=1, keepdim=True)
        return self._blur(x) / self._blur(torch.ones_like(x[:1]))

    def _blur(self, x: Tensor) -> Tensor:
        window, half = self.window.to(x), len(self.window) // 2
        x = F.conv2d(x, window[None, None, :, None], padding=(half, 0))
        return F.conv2d(x, window[None, None, None, :], padding=(0, half))
