"""Non-leaking augmentation with a constant probability (Karras et al. 2020, arXiv 2006.06676, sections 2 and 3)."""

from __future__ import annotations

import torch
from torch import Tensor

from . import Augmentation, augmentations, pipeline
from .options import ADAOptions


@augmentations.register("fixed")
class Fixed(Augmentation):
    """The pipeline of transforms, each of which acts on an image with the probability p · multiplier.

    Below p of about 0.8, D can tell the distribution of the images from that of their augmented versions, and G
    learns to generate images without augmentation (ADA §2.2).

    Args:
        options: p, the transforms and their strengths.
    """

    p: Tensor
    """The probability, a scalar."""

    default_p = 0.2

    in_checkpoints = False
    """Whether p goes on where a checkpoint left it."""

    def __init__(self, options: ADAOptions | None = None):
        super().__init__()
        self.options = options or ADAOptions()
        p = self.default_p if self.options.p is None else self.options.p
        self.register_buffer("p", torch.tensor(float(p)), persistent=self.in_checkpoints)

    @classmethod
    def configured(cls, options: ADAOptions) -> Fixed:
        return cls(options)

    def forward(self, images: Tensor) -> Tensor:
        return pipeline.apply(images, pipeline.draw(self.options, self.p, images))

    def statistics(self) -> dict[str, Tensor]:
        return {"augment_p": self.p.clone()}
