"""All random numbers that the losses draw in an iteration. Replace `Draws` to control them, as tests do."""

from __future__ import annotations

import torch
from torch import Tensor


class Draws:
    """Draws from PyTorch's global random state, which checkpoints store."""

    def z(self, n: int, like: Tensor, width: int) -> Tensor:
        """Latents (n, width) ~ N(0, 1), with the device and dtype of `like`."""
        return torch.randn(n, width, device=like.device, dtype=like.dtype)

    def crossover(self, num_ws: int, probability: float) -> int:
        """The first row of ws that style mixing takes from another latent (SG1 §3.1).

        With the given probability the row is uniform in 1..num_ws-1. Otherwise it is num_ws, which means no
        mixing. One row holds for the whole batch.
        """
        draw, position = torch.rand(2).tolist()
        return 1 + int(position * (num_ws - 1)) if draw < probability else num_ws

    def pixels(self, images: Tensor) -> Tensor:
        """Noise ~ N(0, 1) with the shape of `images`, for the path length."""
        return torch.randn_like(images)
