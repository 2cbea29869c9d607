"""Adversarial losses, chosen by name. Each file here, or a module of the user's, registers one of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from stylegan2.registry import Registry


@dataclass(frozen=True, kw_only=True)
class AdversarialLoss:
    """The losses of generator and discriminator.

    Logits are (N, 1) and positive for images that look real. Losses are scalars.
    """

    generator: Callable[[Tensor, Any], Tensor]
    """Function of the logits of generated images, and of real images or None, that returns G's loss."""

    discriminator: Callable[[Tensor, Tensor], Tensor]
    """Function of the logits of generated images and of real images that returns D's loss."""

    generator_sees_reals: bool = False
    """Whether G's loss needs the logits of real images. If not, it gets None."""


losses: Registry[AdversarialLoss] = Registry("loss", __name__)
