r"""
A loss of your own
==================

An adversarial loss is two functions of logits that are registered under a name. This example adds least squares
(Mao et al. 2017) and compares it with losses of the package.
"""

import matplotlib.pyplot as plt
import torch
from torch import Tensor

from stylegan2 import Discriminator, Generator
from stylegan2.data import ImageData
from stylegan2.images import grid
from stylegan2.training.config import TrainingConfig
from stylegan2.training.losses import AdversarialLoss, losses
from stylegan2.training.module import StyleGAN2
from stylegan2.training.regularizers.r1 import R1


def generator_loss(fake: Tensor, real: Tensor | None = None) -> Tensor:
    """E (D(G(z)) - 1)²."""
    return (fake - 1).square().mean()


def discriminator_loss(fake: Tensor, real: Tensor) -> Tensor:
    """E (D(x) - 1)² + E (D(G(z)) + 1)²."""
    return (real - 1).square().mean() + (fake + 1).square().mean()


least_squares = AdversarialLoss(generator=generator_loss, discriminator=discriminator_loss)
losses.register("least_squares")(least_squares)

# %%
# The figure shows the generator's loss and its derivative as functions of the logit of a generated image. The
# logistic loss has its largest gradient where the discriminator is sure that the image is generated. Least
# squares also penalizes logits above 1.
logits = torch.linspace(-4, 4, 161, requires_grad=True)
figure, axes = plt.subplots(1, 2, figsize=(7, 2.8))
for name in ("logistic", "wasserstein", "least_squares"):
    values = torch.stack([losses[name].generator(logit.reshape(1, 1), None) for logit in logits])
    (slope,) = torch.autograd.grad(values.sum(), logits)
    axes[0].plot(logits.detach(), values.detach(), label=name)
    axes[1].plot(logits.detach(), slope, label=name)
axes[0].set(title="the generator's loss", xlabel="logit of a generated image", ylim=(-4, 8))
axes[1].set(title="its derivative", xlabel="logit of a generated image")
axes[0].legend()
figure.tight_layout()

# %%
# The name selects the loss. Initial weights, images and latents are the same in both runs.
data = ImageData("demo/smileys-emotion", resolution=32).open(progress=False)
small = {"channel_base": 512, "channel_max": 32}
figure, axes = plt.subplots(2, 1, figsize=(6, 2.8))
for axis, name in zip(axes, ("logistic", "least_squares")):
    torch.manual_seed(0)
    model = StyleGAN2(
        Generator(32, z_dim=64, w_dim=64, mapping_layers=2, **small),
        Discriminator(32, **small),
        TrainingConfig(loss=name, learning_rate=0.004, ema=None, regularizers=(R1(gamma=0.5),)),
        batch=16,
    )
    optimizers = model.configure_optimizers()
    while model.images < 1000:
        model.iterate(*data[torch.randint(len(data), (16,)).tolist()], *optimizers)
    with torch.no_grad():
        samples = model.sampling_generator(torch.randn(12, 64), noise="const")
    axis.imshow(grid(samples, columns=12))
    axis.set(title=f"{name}, after 1 kimg", xticks=[], yticks=[])
figure.tight_layout()
