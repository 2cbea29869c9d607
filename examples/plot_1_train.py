r"""
Train from Python in thirty lines
=================================

This example trains without a command line and without Lightning's trainer. The method ``iterate`` runs one
iteration of StyleGAN2: a step of the generator, path length regularization in every 4th iteration, a step of
the discriminator, R1 in every 16th iteration, and an update of the exponential moving average (EMA) of the
generator's weights.

The networks are small. They train on 169 drawings of the embedded demo for less than a minute, which gives
colored blobs. ``python train.py`` trains until there are faces.
"""

import matplotlib.pyplot as plt
import torch

from stylegan2 import Discriminator, Generator
from stylegan2.data import ImageData
from stylegan2.images import grid
from stylegan2.training.config import TrainingConfig
from stylegan2.training.ema import EMA
from stylegan2.training.module import StyleGAN2
from stylegan2.training.regularizers.path_length import PathLength
from stylegan2.training.regularizers.r1 import R1

torch.manual_seed(0)
data = ImageData("demo/smileys-emotion", resolution=32, mirror=True).open(progress=False)
small = {"channel_base": 512, "channel_max": 32}
model = StyleGAN2(
    Generator(32, z_dim=64, w_dim=64, mapping_layers=2, **small),
    Discriminator(32, **small),
    TrainingConfig(
        learning_rate=0.004,
        ema=EMA(half_life_kimg=0.5, rampup=0.2),
        regularizers=(R1(gamma=0.5), PathLength()),
    ),
    batch=16,
)
optimizers = model.configure_optimizers()
z, history = torch.randn(24, 64), []

while model.images < 3200:
    images, labels = data[torch.randint(len(data), (16,)).tolist()]
    model.iterate(images, labels, *optimizers)
    history.append((model.losses["loss_g"].item(), model.losses["loss_d"].item()))

# %%
# Samples come from the EMA of the generator. Below them are some of the training images.
with torch.no_grad():
    samples = model.sampling_generator(z, noise="const")
figure, axes = plt.subplots(2, 1, figsize=(6, 3.3))
for axis, images, title in zip(axes, (samples, data[list(range(24))][0]), ("samples", "drawings")):
    axis.imshow(grid(images, columns=12))
    axis.set(title=title, xticks=[], yticks=[])
figure.tight_layout()

# %%
# The figure shows the losses. If the discriminator cannot tell real from generated images, they are
# log 2 = 0.69 and 2 log 2 = 1.39.
figure, axis = plt.subplots(figsize=(6, 2.6))
axis.plot(
    torch.arange(len(history)) * 16 / 1000, history, linewidth=0.8, label=["generator", "discriminator"]
)
axis.set(xlabel="kimg", ylabel="loss", ylim=(0, 4))
axis.legend()
figure.tight_layout()

# %%
# The state dictionary of a generator has the official names, so ``stylegan2.load_generator`` can read this file.
torch.save(model.sampling_generator.state_dict(), "drawings.pt")
