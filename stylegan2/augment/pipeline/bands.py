"""Filter: a gain for each of four frequency bands of an image."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from .wavelets import filter_bank

BANK = torch.from_numpy(filter_bank())

ENERGY = (10 / 13, 1 / 13, 1 / 13, 1 / 13)
"""The share of each band in the energy of natural images, whose spectrum falls as 1/f (ADA app. B)."""


def combined_gains(gains: Tensor) -> Tensor:
    """The gains (N, bands) that bands get when each gain t of (N, bands) acts in turn.

    Each makes the vector of ones with t in its band, divided by √(Σ_j e_j t_j²), which keeps the energy of a natural
    image. The result is the product of these vectors.
    """
    energy = gains.new_tensor(ENERGY)
    one = torch.eye(len(ENERGY), dtype=gains.dtype, device=gains.device)
    vectors = 1 + one * (gains[:, :, None] - 1)  # (N, band whose gain acts, bands)
    return (vectors / (energy * vectors.square()).sum(dim=2, keepdim=True).sqrt()).prod(dim=1)


def apply(images: Tensor, gains: Tensor) -> Tensor:
    """Filter each image of (N, C, H, W), padded by reflection, in x and in y.

    Args:
        images: (N, C, H, W).
        gains: The gain of each band (N, bands), before they are combined.
    """
    n, c, height, width = images.shape
    bank = BANK.to(images)
    taps = (combined_gains(gains) @ bank).repeat_interleave(c, dim=0)[:, None, None]
    pad = bank.shape[1] // 2
    x = images.reshape(1, n * c, height, width)
    x = F.conv2d(x[..., _reflected(width, pad, x)], taps, groups=n * c)
    x = F.conv2d(x[:, :, _reflected(height, pad, x)], taps.mT, groups=n * c)
    return x.reshape(images.shape)


def _reflected(size: int, pad: int, like: Tensor) -> Tensor:
    """The pixels that reflection at both borders, as often as necessary, puts at -pad to size + pad - 1."""
    period = max(2 * (size - 1), 1)
    position = torch.arange(-pad, size + pad, device=like.device).remainder(period)
    return torch.minimum(position, period - position) if size > 1 else torch.zeros_like(position)
