"""The adversarial loss, chosen by name: one file here (or a user's module) with one registered object for
each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from stylegan2.registry import Registry


@dataclass(frozen=True, kw_only=True)
class AdversarialLoss:
    """What generator and discriminator descend. Logits are (N, 1), positive for real; losses are scalars."""

    generator: Callable[[Tensor, Any], Tensor]
    """(logits of fakes, logits of reals or None) to G's loss."""

    discriminator: Callable[[Tensor, Tensor], Tensor]
    """(logits of fakes, logits of reals) to D's loss."""

    generator_sees_reals: bool = False
    """Whether G's loss needs the logits of reals."""


losses: Registry[AdversarialLoss] = Registry("loss", __name__)
