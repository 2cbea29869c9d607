"""Augmentations of the discriminator's input, chosen by name.

An augmentation is one registered subclass of `Augmentation`, in a file of this package or in a user's module.
It is applied to real and generated images before D. The gradients of G's loss and of R1 go through it, so it
must be twice differentiable.
"""

from __future__ import annotations

from torch import Tensor, nn

from stylegan2.registry import Registry

from .options import ADAOptions


class Augmentation(nn.Module):
    """Maps images (N, C, H, W) in [-1, 1] to augmented ones of the same shape. Checkpoints hold buffers."""

    @classmethod
    def configured(cls, options: ADAOptions) -> Augmentation:
        """The augmentation that training uses. Those that have no options ignore `options`."""
        return cls()

    def forward(self, images: Tensor) -> Tensor:
        return images

    def adapt(self, r_t: Tensor, images: int) -> None:
        """Learn from an iteration, after it. Every process calls this with the same values.

        Args:
            r_t: The mean of sign(D(x)) over the real images of the iteration, a scalar.
            images: Images of the iteration, over all processes.
        """

    def statistics(self) -> dict[str, Tensor]:
        """Scalars to log, by the names of their columns in metrics.csv."""
        return {}


augmentations: Registry[type[Augmentation]] = Registry("augmentation", __name__)
augmentations.register("none")(Augmentation)
