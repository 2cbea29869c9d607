"""The penalties of a network, each at an interval of its own: one file here (or a user's module) for each.

A regularizer is a frozen dataclass that is configuration, help text and mathematics at once. Its options are
`model.NAME.*`. None holds the factor of lazy regularization: training multiplies by it (`Scalings.lazy`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from torch import Tensor

from stylegan2.errors import InputError
from stylegan2.registry import Registry

if TYPE_CHECKING:
    from stylegan2.training.module import StyleGAN2


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

    def penalty(self, training: StyleGAN2, real: Tensor, c: Tensor) -> Tensor:
        """The penalty, a scalar.

        Args:
            training: Gives `score`, `fake`, `ws`, the networks, the draws, and the buffers named by `state`.
            real: (n, C, R, R), in [-1, 1].
            c: (n, num_classes).
        """
        raise NotImplementedError(f"{type(self).__name__} must define penalty")


regularizers: Registry[type[Regularizer]] = Registry("regularizer", __name__)


def name_of(regularizer: Regularizer) -> str:
    """The name that a regularizer is registered under."""
    return next(name for name, kind in regularizers.items() if kind is type(regularizer))
