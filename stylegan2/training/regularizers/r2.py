"""R2: the gradient penalty on generated images (Mescheder et al. 2018, arXiv 1801.04406)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from . import Training, regularizers
from .r1 import R1


@regularizers.register("r2")
@dataclass(frozen=True, kw_only=True)
class R2(R1):
    """gamma/2 · E ‖∇ₓ D(x)‖², where x are generated images. StyleGAN2 does not use it."""

    every: int = 0
    """Iterations between two evaluations (lazy regularization, SG2 app. B). 0: never."""

    def penalty(self, training: Training, real: Tensor, c: Tensor) -> Tensor:
        with torch.no_grad():
            fake = training.fake(c)
        return super().penalty(training, fake, c)
