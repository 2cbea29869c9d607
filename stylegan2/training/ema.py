"""The exponential moving average (EMA) of the generator's weights, `generator_ema`, which makes the samples."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import nn

from stylegan2.errors import InputError


@dataclass(frozen=True, kw_only=True)
class EMA:
    """Exponential moving average of weights: ema ← β·ema + (1-β)·w, β = 0.5^(batch / half-life) (PGGAN §4.1).

    The half-life is counted in images, so it means the same at every batch size. It ramps up during training
    (ADA's code). Otherwise the poor weights of the first iterations would stay in the average for too long.
    """

    half_life_kimg: float | None = None
    """Half-life in thousands of images. null: batch · 10/32. config-f uses 10."""

    rampup: float | None = 0.05
    """Upper limit of the half-life, as a share of the images seen so far. null: no limit."""

    def __post_init__(self) -> None:
        for name in ("half_life_kimg", "rampup"):
            value = getattr(self, name)
            if value is not None and not 0 <= value < math.inf:
                raise InputError(f"Expected model.ema.{name} of 0 or more, found {value}.")

    def half_life_at(self, batch: int) -> float:
        """Half-life in thousands of images for batches of this size, before any ramp-up."""
        return batch * 10 / 32 if self.half_life_kimg is None else self.half_life_kimg

    def beta(self, batch: int, images: int) -> float:
        """The decay β of an update.

        Args:
            batch: Images of the iteration.
            images: Images seen before the iteration.
        """
        half_life = 1000 * self.half_life_at(batch)
        if self.rampup is not None:
            half_life = min(half_life, self.rampup * images)
        return 0.5 ** (batch / max(half_life, 1e-8))

    @torch.no_grad()
    def update(self, generator_ema: nn.Module, generator: nn.Module, batch: int, images: int) -> None:
        """Move the parameters of `generator_ema` towards those of the generator, and copy the buffers.

        The buffers are the running mean of w and the stored noise. `batch` and `images` are those of `beta`.
        """
        beta = self.beta(batch, images)
        pairs = list(zip(generator_ema.parameters(), generator.parameters()))
        torch._foreach_lerp_([a for a, _ in pairs], [p for _, p in pairs], 1 - beta)
        for a, b in zip(generator_ema.buffers(), generator.buffers()):
            a.copy_(b)
