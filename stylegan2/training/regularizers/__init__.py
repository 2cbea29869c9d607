"""The penalties of a network, each at an interval of its own: one file here (or a user's module) for each.

A regularizer is a frozen dataclass that is configuration, help text and mathematics at once. Its options are
`model.NAME.*`. None holds the factor of lazy regularization: training multiplies by it (`Scalings.lazy`).
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
    """What a penalty sees of the training module."""

    generator: Generator
    discriminator: Discriminator
    draws: Draws

    def score(self, images: Tensor, c: Tensor) -> Tensor:
        """Logits (n, 1) of augmented images."""

    def fake(self, c: Tensor) -> Tensor:
        """Images (n, C, R, R) of new latents, with style mixing."""

    def ws(self, c: Tensor) -> Tensor:
        """Styles' inputs (n, num_ws, w_dim) of new latents, with style mixing."""

    def get_buffer(self, name: str) -> Tensor:
        """A scalar buffer out of `Regularizer.state`."""


@dataclass(frozen=True, kw_only=True)
class Regularizer:
    """A penalty on one network, evaluated lazily.

    Raises:
        InputError: A negative interval.
    """

    network: ClassVar[Literal["generator", "discriminator"]]
    """Whose parameters descend it."""

    state: ClassVar[tuple[str, ...]] = ()
    """Names of scalar buffers of the training module that it keeps, 0 at the start."""

    every: int = 0
    """Iterations between two evaluations (lazy regularization, SG2 app. B). 0: never."""

    def __post_init__(self) -> None:
        if self.every < 0:
            raise InputError(f"Expected an interval (every) of 0 or more, found {self.every}.")

    def resolved(self, resolution: int, batch: int) -> Regularizer:
        """With what follows from resolution and batch filled in."""
        return self

    def penalty(self, training: Training, real: Tensor, c: Tensor) -> Tensor:
        """The penalty, a scalar.

        Args:
            training: Gives scores, fakes, networks, draws, and the buffers named by `state`.
            real: (n, C, R, R), in [-1, 1].
            c: (n, num_classes).
        """
        raise NotImplementedError(f"{type(self).__name__} must define penalty")


regularizers: Registry[type[Regularizer]] = Registry("regularizer", __name__)


def name_of(regularizer: Regularizer) -> str:
    """The name that a regularizer is registered under."""
    return next(name for name, kind in regularizers.items() if kind is type(regularizer))
