"""The running average of the generator's weights, which is what samples are drawn from."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import nn

from stylegan2.errors import InputError


@dataclass(frozen=True, kw_only=True)
class EMA:
    """Exponential moving average of weights: ema ← β·ema + (1-β)·w, β = 0.5^(batch / half-life) (PGGAN §4.1).

    Counted in images, so the result does not depend on the batch. The half-life ramps up with training, or
    the first, poor weights would linger (ADA's code).
    """

    half_life_kimg: float | None = None
    """Half-life in thousands of images. null: batch · 10/32; config-f takes 10."""

    rampup: float | None = 0.05
    """The half-life is at most this share of the images seen so far. null: no ramp-up."""

    def __post_init__(self) -> None:
        for name in ("half_life_kimg", "rampup"):
            value = getattr(self, name)
            if value is not None and not 0 <= value < math.inf:
                raise InputError(f"Expected model.ema.{name} of 0 or more, found {value}.")

    def beta(self, batch: int, images: int) -> float:
        """Decay β of an update after `batch` more images, `images` in all before them."""
        half_life = 1000 * (batch * 10 / 32 if self.half_life_kimg is None else self.half_life_kimg)
        if self.rampup is not None:
            half_life = min(half_life, self.rampup * images)
        beta: float = 0.5 ** (batch / max(half_life, 1e-8))
        return beta

    @torch.no_grad()
    def update(self, generator_ema: nn.Module, generator: nn.Module, batch: int, images: int) -> None:
        """Move the average towards the generator; buffers (the mean of w, the stored noise) are copied."""
        beta = self.beta(batch, images)
        pairs = list(zip(generator_ema.parameters(), generator.parameters()))
        torch._foreach_lerp_([a for a, _ in pairs], [p for _, p in pairs], 1 - beta)
        for a, b in zip(generator_ema.buffers(), generator.buffers()):
            a.copy_(b)
