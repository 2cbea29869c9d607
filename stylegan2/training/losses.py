"""The losses: non-saturating logistic, R1 on real images, path length, style mixing.

None holds the factor of lazy regularisation: training multiplies by it (`Scalings.lazy`).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor


def generator_loss(fake_logits: Tensor) -> Tensor:
    """Non-saturating logistic loss: E softplus(-D(G(z))) (Goodfellow et al. 2014; SG1 app. C)."""
    return F.softplus(-fake_logits).mean()


def discriminator_loss(fake_logits: Tensor, real_logits: Tensor) -> Tensor:
    """Logistic loss: E softplus(D(G(z))) + E softplus(-D(x))."""
    return F.softplus(fake_logits).mean() + F.softplus(-real_logits).mean()


@dataclass(frozen=True, kw_only=True)
class R1:
    """Gradient penalty on real images: gamma/2 · E ‖∇ₓ D(x)‖² (Mescheder et al. 2018, arXiv 1801.04406)."""

    gamma: float | None = None
    """Weight. null: 0.0002 · resolution² / batch (ADA app. C); config-f takes 10 at 1024²."""

    every: int = 16
    """Iterations between two evaluations (lazy regularisation, SG2 app. B). 0: never."""

    def __call__(self, score: Callable[[Tensor], Tensor], real: Tensor) -> Tensor:
        """score: images (N, C, H, W) to logits (N, 1); real: images. Returns the penalty, a scalar."""
        if self.gamma is None:
            raise ValueError("R1.gamma is not set: give a number, such as default_gamma(resolution, batch)")
        return self.gamma / 2 * gradient_penalty(score, real).mean()


def default_gamma(resolution: int, batch: int) -> float:
    """The weight of R1 that ADA's "auto" recipe found to suit most data sets (ADA app. C)."""
    return 0.0002 * resolution**2 / batch


def gradient_penalty(score: Callable[[Tensor], Tensor], real: Tensor) -> Tensor:
    """‖∇ₓ Σ D(x)‖² of each sample, (N,), differentiable.

    The logits of the whole batch are summed, so the minibatch stddev couples the samples.
    """
    real = real.detach().requires_grad_()
    (gradient,) = torch.autograd.grad(score(real).sum(), real, create_graph=True)
    return gradient.square().sum(dim=(1, 2, 3))


@dataclass(frozen=True, kw_only=True)
class PathLength:
    """Path length regularisation: weight · E (‖Jᵀy‖ - a)², a the running mean of ‖Jᵀy‖ (SG2 §3.2, app. B)."""

    weight: float = 2.0
    """Weight of the penalty."""

    every: int = 4
    """Iterations between two evaluations (lazy regularisation, SG2 app. B). 0: never."""

    decay: float = 0.01
    """Step of the running mean towards the batch's mean."""

    batch_shrink: int = 2
    """The penalty sees 1/batch_shrink of a batch, to save memory."""

    normalize_by_image_size: bool = True
    """y is N(0, 1)/√(H·W): the length does not grow with the resolution (SG2's code). Off: y is N(0, 1)."""

    def __call__(
        self,
        synthesis: Callable[[Tensor], Tensor],
        ws: Tensor,
        mean: Tensor,
        average: Callable[[Tensor], Tensor] = lambda length: length,
        y: Tensor | None = None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Evaluate the penalty.

        Args:
            synthesis: ws to images.
            ws: (N, num_ws, w_dim), attached to the mapping network.
            mean: a, a scalar; 0 at the start.
            average: Mean over processes, differentiable.
            y: Unit normal images, for a result that repeats. None: drawn.

        Returns:
            The penalty, a scalar; the new a, detached; the lengths (N,), detached.
        """
        lengths = self.lengths(synthesis, ws, y)
        # The updated mean takes part in the gradient.
        mean = mean + self.decay * (average(lengths.mean()) - mean)
        return self.weight * (lengths - mean).square().mean(), mean.detach(), lengths.detach()

    def lengths(self, synthesis: Callable[[Tensor], Tensor], ws: Tensor, y: Tensor | None = None) -> Tensor:
        """√(mean over rows of ws of Σ_dim J²), J = ∇_ws Σ(image · y): one length a sample, (N,)."""
        images = synthesis(ws)
        y = torch.randn_like(images) if y is None else y
        if self.normalize_by_image_size:
            y = y / math.sqrt(images.shape[2] * images.shape[3])
        (jacobian,) = torch.autograd.grad((images * y).sum(), ws, create_graph=True)
        squares = jacobian.square().sum(dim=2).mean(dim=1)
        # √ has no finite slope at an exact zero, which a dead generator gives: let it give gradient 0.
        return torch.where(squares > 0, squares, 1).sqrt() * (squares > 0)


def style_mixing(
    ws: Tensor, other: Callable[[], Tensor], probability: float, generator: torch.Generator | None = None
) -> Tensor:
    """Mixing regularisation: from a random row on, another latent's styles (SG1 §3.1).

    Args:
        ws: (N, num_ws, w_dim).
        other: Draws the other latents' ws, of the same shape; called only if they are wanted.
        probability: Of mixing at all, for the batch as a whole.
        generator: Source of the two random numbers.

    Returns:
        (N, num_ws, w_dim): rows before the crossover, uniform in 1..num_ws-1, are those of ws.
    """
    draw, place = torch.rand(2, generator=generator).tolist()
    if draw >= probability:
        return ws
    cutoff = 1 + int(place * (ws.shape[1] - 1))
    return torch.cat([ws[:, :cutoff], other()[:, cutoff:]], dim=1)
