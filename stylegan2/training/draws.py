"""Every random number of an iteration that the losses draw, in one place: replace it to script them."""

from __future__ import annotations

import torch
from torch import Tensor


class Draws:
    """Draws from PyTorch's global random state, which checkpoints hold."""

    def z(self, n: int, like: Tensor, width: int) -> Tensor:
        """Latents (n, width) ~ N(0, 1), on the device and in the type of `like`."""
        return torch.randn(n, width, device=like.device, dtype=like.dtype)

    def crossover(self, num_ws: int, probability: float) -> int:
        """The first row of ws that style mixing takes from another latent (SG1 §3.1); num_ws for none.

        Uniform in 1..num_ws-1, with this probability; one number for a whole batch.
        """
        draw, position = torch.rand(2).tolist()
        return 1 + int(position * (num_ws - 1)) if draw < probability else num_ws

    def pixels(self, images: Tensor) -> Tensor:
        """Unit normal images in the shape of these, for the path length."""
        return torch.randn_like(images)
