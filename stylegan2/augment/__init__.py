"""Augmentation of what the discriminator sees, chosen by name: one file here (or a user's module) for each.

An augmentation is a registered subclass of `Augmentation`. Reals and fakes go through it on their way into D,
so it must be differentiable twice: G's loss and R1 run through it.
"""

from __future__ import annotations

from torch import Tensor, nn

from stylegan2.registry import Registry


class Augmentation(nn.Module):
    """Images (N, C, H, W) in [-1, 1] to augmented ones of the same shape. Buffers go into checkpoints."""

    def forward(self, images: Tensor) -> Tensor:
        return images


augmentations: Registry[type[Augmentation]] = Registry("augmentation", __name__)
augmentations.register("none")(Augmentation)
