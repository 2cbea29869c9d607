"""How the two networks are trained: the options below `model`, beside the networks' own."""

from __future__ import annotations

from dataclasses import dataclass

from stylegan2.augment import augmentations
from stylegan2.errors import InputError
from stylegan2.networks.scalings import Scalings

from .ema import EMA
from .losses import losses
from .regularizers import Regularizer
from .regularizers.path_length import PathLength
from .regularizers.r1 import R1


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """Losses, optimizers and running average.

    Raises:
        InputError: A value that cannot be.
    """

    scalings: Scalings = Scalings()
    """Every gain and normalization of the networks; also read for the lazy regularization."""

    loss: str = "logistic"
    """Adversarial loss."""

    augment: str = "none"
    """Augmentation of what the discriminator sees, reals and fakes."""

    ema: EMA | None = EMA()
    """Running average of the generator, from which samples are drawn, with half_life_kimg (null: batch·10/32)
    and rampup (0.05). null: none, samples come from the generator itself."""

    style_mixing: float = 0.9
    """Probability of style mixing (SG1 §3.1)."""

    learning_rate: float | None = None
    """Adam's, for both networks. null: 0.002 from 1024² on, else 0.0025 (ADA's "auto")."""

    betas: tuple[float, float] = (0.0, 0.99)
    """Adam's decay rates."""

    regularizers: tuple[Regularizer, ...] = (R1(), PathLength())
    """The penalties of both networks."""

    def __post_init__(self) -> None:
        losses[self.loss], augmentations[self.augment]  # raise for unknown names
        if not 0 <= self.style_mixing <= 1:
            raise InputError(f"Expected style_mixing from 0 to 1, found {self.style_mixing}.")
        if self.learning_rate is not None and not 0 < self.learning_rate < float("inf"):
            raise InputError(f"Expected a learning_rate above 0, found {self.learning_rate}.")
        if not all(0 <= beta < 1 for beta in self.betas):
            raise InputError(f"Expected betas from 0 to below 1, found {list(self.betas)}.")

    def learning_rate_at(self, resolution: int) -> float:
        """Adam's step size for networks of this resolution."""
        return self.learning_rate or (0.002 if resolution >= 1024 else 0.0025)
