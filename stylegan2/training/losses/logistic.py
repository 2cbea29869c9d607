"""The non-saturating logistic loss, which StyleGAN2 uses (Goodfellow et al. 2014; SG1 app. C)."""

import torch.nn.functional as F
from torch import Tensor

from . import AdversarialLoss, losses


def generator_loss(fake: Tensor, real: Tensor | None = None) -> Tensor:
    """E softplus(-D(G(z)))."""
    return F.softplus(-fake).mean()


def discriminator_loss(fake: Tensor, real: Tensor) -> Tensor:
    """E softplus(D(G(z))) + E softplus(-D(x))."""
    return F.softplus(fake).mean() + F.softplus(-real).mean()


logistic = losses.register("logistic")(
    AdversarialLoss(generator=generator_loss, discriminator=discriminator_loss)
)
