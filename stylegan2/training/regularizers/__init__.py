"""Penalties on a network, each evaluated at its own interval. Each file here, or a module of the user's, has one.

A regularizer is a frozen dataclass: its fields are the options `model.NAME.*`, the docstrings of the fields are
their help texts, and `penalty` computes it. A penalty does not include the factor of lazy regularization, which
training applies (`Scalings.lazy`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal, Protocol

from torch import Tensor

from stylegan2.errors import InputError
from stylegan2.networks.discriminator import Discriminator
from stylegan2.networks.generator import Generator
from stylegan2.registry import Registry
from stylegan2.training.draws import Draws


class Training(Protocol):
    """The part of the training module that a penalty may use."""

    generator: Generator
    discriminator: Discriminator
    draws: Draws

    def score(self, images: Tensor, c: Tensor) -> Tensor:
        """Logits (n, 1) of augmented images."""

    def fake(self, c: Tensor) -> Tensor:
        """Generated images (n, C, R, R) of new latents with labels c (n, num_classes), with style mixing."""

    def ws(self, c: Tensor) -> Tensor:
        """ws (n, num_ws, w_dim) of new latents with labels c (n, num_classes), with style mixing."""

    def get_buffer(self, name: str) -> Tensor:
        """One of the scalar buffers that `Regularizer.state` names."""


@dataclass(frozen=True, kw_only=True)
class Regularizer:
    """A penalty on one network, evaluated every `every` iterations (lazy regularization, SG2 app. B).

    Raises:
        InputError: The interval is negative.
    """

    network: ClassVar[Literal["generator", "discriminator"]]
    """The network whose parameters the penalty trains."""

    state: ClassVar[tuple[str, ...]] = ()
    """Names of scalar buffers that the training module keeps for this penalty. They start at 0."""

    every: int = 0
    """Iterations between two evaluations (lazy regularization, SG2 app. B). 0: never."""

    def __post_init__(self) -> None:
        if self.every < 0:
            raise InputError(
                f"Expected an interval (every) of 0 or more iterations, found {self.every}. 0 turns the penalty off."
            )

    def resolved(self, resolution: float, batch: int) -> Regularizer:
        """This regularizer with the options filled in that depend on the resolution and the batch."""
        return self

    def penalty(self, training: Training, real: Tensor, c: Tensor) -> Tensor:
        """The penalty, a scalar.

        Args:
            training: The training module: networks, logits, generated images, draws and the buffers of `state`.
            real: Real images (n, C, R, R) in [-1, 1].
            c: Their labels (n, num_classes).
        """
        raise NotImplementedError(f"{type(self).__name__} must define penalty")


regularizers: Registry[type[Regularizer]] = Registry("regularizer", __name__)


def name_of(regularizer: Regularizer) -> str:
    """The name that a regularizer is registered under."""
    return next(name for name, kind in regularizers.items() if kind is type(regularizer))
