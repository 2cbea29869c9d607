"""Random translation, one of the transforms of DiffAugment (Zhao et al. 2020, arXiv 2006.10738)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from . import Augmentation, augmentations


@augmentations.register("translation")
class Translation(Augmentation):
    """Moves each image by whole pixels, up to an eighth of its size in each direction. Zeros fill the gap."""

    def forward(self, images: Tensor) -> Tensor:
        return translated(images)


def translated(images: Tensor) -> Tensor:
    """Images (N, C, H, W), each moved by whole pixels, up to an eighth of its size. Zeros fill the gap."""
    n, _, h, w = images.shape
    reach_y, reach_x = h // 8, w // 8
    y = torch.randint(0, 2 * reach_y + 1, (n, 1), device=images.device)
    x = torch.randint(0, 2 * reach_x + 1, (n, 1), device=images.device)
    padded = F.pad(images, [reach_x, reach_x, reach_y, reach_y]).permute(0, 2, 3, 1)
    rows = (y + torch.arange(h, device=images.device))[:, :, None]
    columns = (x + torch.arange(w, device=images.device))[:, None, :]
    sample = torch.arange(n, device=images.device)[:, None, None]
    return padded[sample, rows, columns].permute(0, 3, 1, 2)
