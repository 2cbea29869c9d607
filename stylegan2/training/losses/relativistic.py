"""The relativistic pairing loss (Jolicoeur-Martineau 2018, arXiv 1807.00734), with the logistic function."""

import torch.nn.functional as F
from torch import Tensor

from . import AdversarialLoss, losses


def generator_loss(fake: Tensor, real: Tensor) -> Tensor:
    """E softplus(D(x) - D(G(z))). Generated image n is paired with real image n."""
    return F.softplus(real - fake).mean()


def discriminator_loss(fake: Tensor, real: Tensor) -> Tensor:
    """E softplus(D(G(z)) - D(x)). Generated image n is paired with real image n."""
    return F.softplus(fake - real).mean()


relativistic = losses.register("relativistic")(
    AdversarialLoss(generator=generator_loss, discriminator=discriminator_loss, generator_sees_reals=True)
)
