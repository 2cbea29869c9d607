"""Buffers that follow the mean of w: what they moved by, and whether the means of w in the step explain it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

NAME = re.compile(r"(w|latent|dlatent|style)_?(avg|mean)|(avg|mean)_?(w|latent)")
EXACT = 1e-2
"""Largest part of a buffer's change that may be unexplained. Rounding in float32 is 1e-4 of a small change."""


@dataclass
class MeanOfW:
    """One buffer of the generator over the iterations."""

    start: Tensor
    end: Tensor
    named: bool
    """Whether its name says that it is a mean of w."""
    totals: list[float] = field(default_factory=list)
    """Σ aᵢ/κ of each iteration whose change is exactly Σ aᵢ·(mean of w)ᵢ - κ·(old value). It is 1 for a mean."""
    moves: list[float] = field(default_factory=list)
    """κ of these iterations: by which share of the way the buffer moved."""
    means: list[Tensor] = field(default_factory=list)
    """The means over a batch of all w that were seen."""

    @property
    def changed(self) -> bool:
        return not torch.equal(self.start, self.end)

    @property
    def distance(self) -> float:
        """From the mean of w over all iterations to the buffer, over the length of that mean."""
        mean = torch.stack(self.means).mean(0)
        return float((self.end - mean).norm() / mean.norm().clamp_min(1e-300))

    @property
    def direction(self) -> float | None:
        """Cosine of the buffer's change and the way to the mean of w. None: the mean is too near to tell.

        A buffer that follows even a single one of these batches moves with a cosine of about 0.83 if the way is 1.5
        times as long as the deviation of a batch.
        """
        if len(self.means) < 4:
            return None
        means = torch.stack(self.means)
        way, noise = means.mean(0) - self.start, means.var(0).sum().sqrt()
        if float(way.norm()) < 1.5 * float(noise) or not self.changed:
            return None
        return float(torch.cosine_similarity(way, self.end - self.start, dim=0))

    def step(self, new: Tensor, means: Sequence[Tensor]) -> None:
        """Take in the value after an iteration, and the means of w that were seen in it."""
        old, self.end = self.end, new
        fitting = [m for m in means if m.shape == new.shape]
        self.means += fitting
        change = new - old
        if not fitting or 2 * (len(fitting) + 1) > len(new) or not change.any() or not old.any():
            return
        columns = torch.stack([*fitting, -old], 1)
        columns, sizes = (
            columns / columns.norm(dim=0).clamp_min(1e-300),
            columns.norm(dim=0).clamp_min(1e-300),
        )
        solution = torch.linalg.lstsq(columns, change, driver="gelsd").solution
        if float((columns @ solution - change).norm()) < EXACT * float(change.norm()):
            *parts, move = (solution / sizes).tolist()
            if abs(move) > 1e-9:
                self.totals.append(sum(parts) / move)
                self.moves.append(move)


def vectors(generator: nn.Module) -> dict[str, Tensor]:
    """The buffers of a generator that hold one vector, in float64."""
    return {
        name: b.detach().double().flatten().cpu()
        for name, b in generator.named_buffers()
        if b.is_floating_point() and 1 < b.numel() == b.shape[-1]
    }


def start(generator: nn.Module) -> dict[str, MeanOfW]:
    return {
        name: MeanOfW(value, value, bool(NAME.search(name.split(".")[-1])))
        for name, value in vectors(generator).items()
    }
