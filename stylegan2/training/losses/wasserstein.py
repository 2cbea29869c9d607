"""The Wasserstein loss (Arjovsky et al. 2017, arXiv 1701.07875). R1 replaces the paper's weight clipping."""

from torch import Tensor

from . import AdversarialLoss, losses


def generator_loss(fake: Tensor, real: Tensor | None = None) -> Tensor:
    """-E D(G(z))."""
    return -fake.mean()


def discriminator_loss(fake: Tensor, real: Tensor) -> Tensor:
    """E D(G(z)) - E D(x)."""
    return fake.mean() - real.mean()


wasserstein = losses.register("wasserstein")(
    AdversarialLoss(generator=generator_loss, discriminator=discriminator_loss)
)
