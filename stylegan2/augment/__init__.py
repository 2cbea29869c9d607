"""Augmentations of the discriminator's input, chosen by name.

An augmentation is one registered subclass of `Augmentation`, in a file of this package or in a user's module.
It is applied to real and generated images before D. The gradients of G's loss and of R1 go through it, so it
must be twice differentiable.
"""

from __future__ import annotations

from torch import Tensor, nn

from stylegan2.registry import Registry


class Augmentation(nn.Module):
    """Maps images (N, C, H, W) in [-1, 1] to augmented ones of the same shape. Checkpoints hold buffers."""

    def forward(self, images: Tensor) -> Tensor:
        return images


augmentations: Registry[type[Augmentation]] = Registry("augmentation", __name__)
augmentations.register("none")(Augmentation)
