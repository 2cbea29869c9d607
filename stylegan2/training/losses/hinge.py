"""The hinge loss (Lim and Ye 2017, arXiv 1705.02894)."""

import torch.nn.functional as F
from torch import Tensor

from . import AdversarialLoss, losses


def generator_loss(fake: Tensor, real: Tensor | None = None) -> Tensor:
    """-E D(G(z))."""
    return -fake.mean()


def discriminator_loss(fake: Tensor, real: Tensor) -> Tensor:
    """E max(0, 1 + D(G(z))) + E max(0, 1 - D(x))."""
    return F.relu(1 + fake).mean() + F.relu(1 - real).mean()


hinge = losses.register("hinge")(AdversarialLoss(generator=generator_loss, discriminator=discriminator_loss))
