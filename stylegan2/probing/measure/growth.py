"""How the weights of a network grow in training, and what a step of the optimizer then still changes.

A normalized kernel has the same function at every length, and a step on the kernel turns it by about (length of the
step)/(length of the kernel). This angle is the effective learning rate. It falls if the kernels grow (EDM2 §2.3).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.linalg import vector_norm

from stylegan2.networks.normalized import NormalizedLayer


class Growth(NamedTuple):
    """The state of the kernels of a network, averaged over its layers."""

    size: float
    """rms of the stored weights (geometric mean)."""

    angle: float
    """rms angle in radians by which the kernels of the output channels turned since the previous measurement."""


class GrowthMeter:
    """Measures the k×k kernels (k > 1) of a network at successive times in training.

    Args:
        network: A generator or a discriminator of this package.

    Raises:
        ValueError: The network has no such kernels.
    """

    def __init__(self, network: nn.Module):
        layers = (module for module in network.modules() if isinstance(module, NormalizedLayer))
        self._kernels = [layer.weight for layer in layers if layer.weight[0, 0].numel() > 1]
        if not self._kernels:
            raise ValueError("expected a network with convolutions larger than 1×1, found none")
        self._before = self._directions()

    @torch.no_grad()
    def measure(self) -> Growth:
        """The size of the kernels now, and how far they turned since the last call or since the start."""
        now = self._directions()
        # An angle θ between directions of length 1 has the chord 2·sin(θ/2), which is exact for small angles.
        squares = [
            (2 * (vector_norm(a - b, dim=1) / 2).clamp(max=1).asin()).square().mean().item()
            for a, b in zip(now, self._before)
        ]
        logs = [kernel.double().square().mean().sqrt().log().item() for kernel in self._kernels]
        self._before = now
        return Growth(math.exp(sum(logs) / len(logs)), math.sqrt(sum(squares) / len(squares)))

    @torch.no_grad()
    def _directions(self) -> list[Tensor]:
        """The kernels (O, I·k·k) at length 1. A kernel of zeros stays 0."""
        flat = [kernel.double().flatten(1) for kernel in self._kernels]
        return [kernel / vector_norm(kernel, dim=1, keepdim=True).clamp_min(1e-30) for kernel in flat]
