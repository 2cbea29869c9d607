"""What can happen in a training step: scores, derivatives, backward passes, and steps of optimizers."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor


@dataclass
class Score:
    """One call of the discriminator, and the slope of the loss that it leads to."""

    iteration: int
    fake: bool
    low: float
    high: float
    image: Tensor
    """Some numbers of the images, to tell equal batches."""
    logits: Tensor
    backward: int | None = None
    slopes: Tensor | None = None


@dataclass
class Backward:
    """One backward pass and the networks whose gradients it changed."""

    iteration: int
    changed: set[str] = field(default_factory=set)
    scores: list[Score] = field(default_factory=list)

    @property
    def loss_of(self) -> str:
        """Whose loss it is: G's if only generated images were scored and G's gradients changed."""
        return "G" if self.scores and all(s.fake for s in self.scores) and "G" in self.changed else "D"


@dataclass
class Derivative:
    """One call of `torch.autograd.grad`, and what a loss makes of its result."""

    iteration: int
    of: str
    """"real images", "generated images", "ws" or "other": the tensor to which the derivative is with respect to."""
    create_graph: bool
    reaches_mapping: bool
    """Whether that tensor was itself computed from parameters."""
    shape: tuple[int, ...]
    slope: float = math.nan
    """The mean gradient at the logits inside the call: 1 if it is that of their sum, 1/N of their mean."""
    noise: float = math.nan
    """rms of the gradient at the images inside the call, times √(H·W). It is 1 for path length."""
    used: bool = False
    """Whether a later derivative or backward pass goes through the result."""
    backwards: list[Backward] = field(default_factory=list)
    """The backward passes that go through it."""
    weight: float = math.nan
    """The weight with which it enters the loss: c of c/2·mean ‖∇‖² for images, of c·mean (length - a)² for ws.
    NaN: the loss is none of this form, or the weight cannot be told."""

    def learn_weight(self, g: Tensor, slope: Tensor) -> None:
        """Read the weight from the derivative g (N, ...) and the slope of the loss with respect to g.

        Images: the slope is c/N·g. Path length: slope·g = 2c/N·(length - a)·length for each sample, with the length
        √(mean over rows of Σ g²), so slope·g/length is a line over the lengths whose own slope is 2c/N.
        """
        g, slope = g.detach().double().flatten(1), slope.detach().double().flatten(1)
        squares, products = g.square().sum(1), (slope * g).sum(1)
        if self.of == "ws":
            rows = self.shape[1] if len(self.shape) == 3 else 1
            lengths = (squares / rows).sqrt()
            x, y = lengths - lengths.mean(), products / lengths.clamp_min(1e-300)
            if len(x) > 2 and float(x.norm()) > 1e-4 * float(lengths.norm()):
                line = float(x @ y) / float(x @ x)
                rest = y - y.mean() - line * x
                if float(rest.norm()) < 1e-2 * float((y - y.mean()).norm()):
                    self.weight = line * len(x) / 2
        elif float(squares.sum()) > 0:
            share = float(products.sum()) / float(squares.sum())
            if float((slope - share * g).norm()) < 1e-3 * float(slope.norm()):
                self.weight = share * len(g)


@dataclass
class OptimizerStep:
    iteration: int
    optimizer: int
    cleared: bool
    """Whether its gradients were zero or none at some moment since its last step."""
    lr: float
    """The largest learning rate of its groups."""
    backwards: list[Backward] = field(default_factory=list)


def signature(x: Tensor) -> Tensor:
    """At most 64 numbers of a tensor, evenly spaced. Equal tensors have equal ones."""
    flat = x.detach().flatten()
    return flat[:: max(len(flat) // 64, 1)][:64].float().cpu().clone()


def repeated(seen: dict[int, list[Tensor]]) -> bool:
    """Whether all tensors of every iteration were there in an earlier one. They are given by signatures."""
    if len(seen) < 4:
        return False
    first, *later = (seen[i] for i in sorted(seen))
    known = list(first)
    for new in later:
        if not all(any(a.shape == b.shape and torch.equal(a, b) for b in known) for a in new):
            return False
        known += new
    return True
