"""All random numbers that the losses draw in an iteration. Replace `Draws` to control them, as tests do."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor


class Draws:
    """Draws from PyTorch's global random state, which checkpoints store."""

    def generator(self, device: torch.device) -> torch.Generator | None:
        """What the numbers come from. None: the global random state."""
        return None

    def z(self, n: int, like: Tensor, width: int) -> Tensor:
        """Latents (n, width) ~ N(0, 1), with the device and dtype of `like`."""
        return torch.randn(
            n, width, device=like.device, dtype=like.dtype, generator=self.generator(like.device)
        )

    def crossover(self, num_ws: int, probability: float) -> int:
        """The first row of ws that style mixing takes from another latent (SG1 §3.1).

        With the given probability the row is uniform in 1..num_ws-1. Otherwise it is num_ws, which means no
        mixing. One row holds for the whole batch.
        """
        draw, position = torch.rand(2, generator=self.generator(torch.device("cpu"))).tolist()
        return 1 + int(position * (num_ws - 1)) if draw < probability else num_ws

    def pixels(self, images: Tensor) -> Tensor:
        """Noise ~ N(0, 1) with the shape of `images`, for the path length."""
        return torch.empty_like(images).normal_(generator=self.generator(images.device))


class CommonDraws(Draws):
    """Draws that depend on a seed and on the images trained on so far, and on nothing else.

    Runs of one seed have the same latents in every iteration, also if one of them draws other random numbers besides,
    such as noise (common random numbers). A resumed run needs no state for it.

    Args:
        seed: 0 or more. Each process needs its own.
        images: Returns the number of images trained on before this iteration.
    """

    def __init__(self, seed: int, images: Callable[[], int]):
        self.seed, self._images = seed, images
        self._at = -1
        self._generators: dict[torch.device, torch.Generator] = {}

    def generator(self, device: torch.device) -> torch.Generator:
        """The stream of this iteration, one for each device."""
        if self._images() != self._at:
            self._at, self._generators = self._images(), {}
        if device not in self._generators:
            (state,) = np.random.SeedSequence([self.seed, self._at]).generate_state(1, np.uint64)
            self._generators[device] = torch.Generator(device).manual_seed(int(state) >> 1)
        return self._generators[device]
