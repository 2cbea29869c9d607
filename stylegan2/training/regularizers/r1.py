"""R1: the gradient penalty on real images (Mescheder et al. 2018, arXiv 1801.04406)."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import torch
from torch import Tensor

from stylegan2.errors import InputError

from . import Regularizer, Training, regularizers


@regularizers.register("r1")
@dataclass(frozen=True, kw_only=True)
class R1(Regularizer):
    """gamma/2 · E ‖∇ₓ D(x)‖², where x are real images."""

    network: ClassVar[Literal["generator", "discriminator"]] = "discriminator"

    gamma: float | None = None
    """Weight of the penalty. null: 0.0002 · resolution² / batch (ADA app. C). config-f uses 10 at 1024²."""

    every: int = 16
    """Iterations between two evaluations (lazy regularization, SG2 app. B). 0: never."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.gamma is not None and not 0 <= self.gamma < math.inf:
            raise InputError(f"Expected a gamma of 0 or more, found {self.gamma}.")

    def __call__(self, score: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
        """The penalty, a scalar.

        Args:
            score: Function of images (N, C, H, W) that returns logits (N, 1).
            images: (N, C, H, W).

        Raises:
            ValueError: gamma is not set.
        """
        if self.gamma is None:
            raise ValueError(
                "expected R1.gamma to be a number, found None; give one, such as default_gamma(resolution, batch)"
            )
        return self.gamma / 2 * gradient_penalty(score, images).mean()

    def resolved(self, resolution: float, batch: int) -> R1:
        return self if self.gamma is not None else replace(self, gamma=default_gamma(resolution, batch))

    def penalty(self, training: Training, real: Tensor, c: Tensor) -> Tensor:
        return self(lambda images: training.score(images, c), real)


def default_gamma(resolution: float, batch: int) -> float:
    """The weight of R1 in ADA's "auto" recipe: 0.0002 · resolution² / batch (ADA app. C)."""
    return 0.0002 * resolution**2 / batch


def gradient_penalty(score: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
    """‖∇ₓ Σ D(x)‖² of each sample: (N,), differentiable.

    The sum is over the logits of the whole batch. With minibatch stddev, the gradient with respect to one
    image therefore also depends on the logits of the other images.
    """
    images = images.detach().requires_grad_()
    (gradient,) = torch.autograd.grad(score(images).sum(), images, create_graph=True)
    return gradient.square().sum(dim=(1, 2, 3))
