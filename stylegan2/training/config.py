"""The training options below `model`: losses, optimizers, regularizers and the generator EMA."""

from __future__ import annotations

from dataclasses import dataclass

from stylegan2.augment import augmentations
from stylegan2.augment.options import ADAOptions
from stylegan2.errors import InputError
from stylegan2.networks.scalings import Scalings

from .ema import EMA
from .losses import losses
from .regularizers import Regularizer
from .regularizers.path_length import PathLength
from .regularizers.r1 import R1


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """Losses, optimizers, regularizers and the generator EMA.

    Raises:
        InputError: A value is out of range, or a name is not registered.
    """

    scalings: Scalings = Scalings()
    """Every gain and normalization of the networks, and the correction for lazy regularization."""

    loss: str = "logistic"
    """Adversarial loss."""

    augment: str = "none"
    """Augmentation of the images that the discriminator sees, both real and generated. --augment is short for it."""

    ada: ADAOptions = ADAOptions()
    """The options of the augmentations "ada" and "fixed"."""

    ema: EMA | None = EMA()
    """Exponential moving average of the generator's weights (generator_ema), which makes the samples. Its options
    are half_life_kimg (null: batch·10/32) and rampup (0.05). null: no EMA, the generator makes the samples."""

    style_mixing: float = 0.9
    """Probability of style mixing (SG1 §3.1)."""

    learning_rate: float | None = None
    """Adam's learning rate for both networks. null: 0.002 from 1024² on, else 0.0025 (ADA's "auto" recipe)."""

    betas: tuple[float, float] = (0.0, 0.99)
    """Adam's decay rates β₁ and β₂."""

    regularizers: tuple[Regularizer, ...] = (R1(), PathLength())
    """The penalties on either network."""

    def __post_init__(self) -> None:
        losses[self.loss], augmentations[self.augment]  # raise for unknown names
        if not 0 <= self.style_mixing <= 1:
            raise InputError(
                f"Expected style_mixing from 0 to 1, found {self.style_mixing}. Give a probability, such as 0.9."
            )
        if self.learning_rate is not None and not 0 < self.learning_rate < float("inf"):
            raise InputError(
                f"Expected a finite learning_rate above 0, found {self.learning_rate}. Leave it out for the default."
            )
        if not all(0 <= beta < 1 for beta in self.betas):
            raise InputError(
                f"Expected betas of 0 or more and below 1, found {list(self.betas)}. The default is [0, 0.99]."
            )

    def learning_rate_at(self, resolution: float) -> float:
        """Adam's learning rate for networks of this resolution, in pixels per side (√(H·W))."""
        return self.learning_rate or (0.002 if resolution >= 1024 else 0.0025)
