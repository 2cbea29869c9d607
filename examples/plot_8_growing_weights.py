r"""
Weights that grow, and weights that are held
============================================

A step of Adam has about the size of the learning rate. Where the weights grow, it changes them less and less: the
effective learning rate falls, without any schedule. Forced weight normalization (EDM2, section 2.3) brings every
kernel back to its size after each step. This example trains two small networks for 16×16 pixels, and measures both.
"""

import matplotlib.pyplot as plt
import torch
from tqdm import tqdm

from stylegan2 import Discriminator, Generator
from stylegan2.data import ImageData, to_float
from stylegan2.probing.measure.growth import GrowthMeter
from stylegan2.probing.measure.residual import residual_blocks
from stylegan2.training.config import TrainingConfig
from stylegan2.training.module import StyleGAN2
from stylegan2.training.regularizers.r1 import R1

ITERATIONS, BATCH, EVERY = 400, 8, 50
data = ImageData("demo/smileys-emotion", resolution=16).open(progress=False)
reals = to_float(data[list(range(32))][0])


def correlations(d: Discriminator) -> str:
    """ρ of the two branches of each residual block, on real images."""
    return ", ".join(f"{b.name} {b.correlation or 0:+.2f}" for b in residual_blocks(d, reals))


# %%
# "size" is the rms of the stored kernels of the discriminator, 1 at the start. "angle" is by how much the kernels of
# its output channels turned in one iteration, averaged over 50 iterations. A normalized kernel changes by nothing
# else.
figure, axes = plt.subplots(1, 2, figsize=(8, 3))
for kind in ("none", "forced_weight"):
    torch.manual_seed(0)
    small = {"channel_base": 512, "channel_max": 32}
    model = StyleGAN2(
        Generator(16, z_dim=32, w_dim=32, mapping_layers=2, **small),
        Discriminator(16, weight_normalization=kind, **small),
        TrainingConfig(learning_rate=0.01, ema=None, regularizers=(R1(gamma=0.1),)),
        batch=BATCH,
    )
    d, optimizers = model.discriminator, model.configure_optimizers()
    before, meter, rows = correlations(d), GrowthMeter(model.discriminator), []
    for _ in tqdm(range(ITERATIONS), desc=kind, disable=None):
        model.iterate(*data[torch.randint(len(data), (BATCH,)).tolist()], *optimizers)
        rows.append(meter.measure())
    print(f"weight_normalization {kind}")
    means = []
    for i in range(0, ITERATIONS, EVERY):
        angle = sum(row.angle for row in rows[i : i + EVERY]) / EVERY
        means.append(angle)
        size = rows[i + EVERY - 1].size
        print(
            f"  iteration {i + EVERY:3}: size {size:.3f}, angle per iteration {angle:.5f}, product {size * angle:.5f}"
        )
    print(f"  ρ of the branches before training: {before}; after: {correlations(d)}")
    axes[0].plot([row.size for row in rows], label=kind)
    axes[1].plot(range(EVERY, ITERATIONS + 1, EVERY), means, "o-", label=kind)
axes[0].set(title="size of the stored kernels", xlabel="iteration")
axes[1].set(title="angle per iteration", xlabel="iteration", ylim=(0, None))
axes[0].legend()
figure.tight_layout()
