"""Weight normalization (Salimans and Kingma 2016, arXiv 1602.07868)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .base import on_weights


@on_weights("weight")
class WeightNorm(nn.Module):
    """w = g·v/‖v‖ for the kernel of each output channel, where g and v are learned separately.

    g starts as the length of the initial kernel, so the layer starts unchanged. `torch.nn.utils.parametrizations.
    weight_norm` does the same to a layer of any network.
    """

    def __init__(self, weight: Tensor):
        super().__init__()
        self.g = nn.Parameter(length(weight).flatten().clone())

    def forward(self, weight: Tensor) -> Tensor:
        return weight * (self.g[:, None, None, None] / length(weight))


def length(weight: Tensor, eps: float = 1e-12) -> Tensor:
    """Euclidean length of the kernel of each output channel, (O, I, k, k) -> (O, 1, 1, 1)."""
    return (weight.square().sum(dim=(1, 2, 3), keepdim=True) + eps**2).sqrt()


def unit_length(weight: Tensor, eps: float) -> Tensor:
    """The kernel of each output channel divided by its Euclidean length, with ε within the root."""
    return weight * torch.rsqrt(weight.square().sum(dim=(1, 2, 3), keepdim=True) + eps)
