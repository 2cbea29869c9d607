"""What the discriminator says about images that it is never trained on (Karras et al. 2020, arXiv 2006.06676, §2)."""

from __future__ import annotations

import torch
from torch import Tensor

from stylegan2.data import ImageDataset, to_float

from .module import StyleGAN2

MOST = 256
"""The largest number of images that are looked at for a row of metrics.csv."""


@torch.no_grad()
def held_out_logits(module: StyleGAN2, dataset: ImageDataset, size: int) -> tuple[Tensor, Tensor] | None:
    """D's logits for held-out images and for as many generated ones, augmented as those that it is trained on.

    The images, latents and labels are the same at every call, and for every run with these held-out images. The
    random state is restored afterwards.

    Args:
        module: The networks and the augmentation.
        dataset: The images.
        size: Images per micro-batch of training, which minibatch stddev makes part of the logits.

    Returns:
        Logits of held-out and of generated images, (N, 1) each. None: no image is held out.
    """
    rows = dataset.held_out[:MOST]
    group = module.discriminator.minibatch_group or 1
    batches = [rows[start : start + size] for start in range(0, len(rows), size)]
    if len(batches) > 1 and len(batches[-1]) < size:
        batches.pop()
    weight, reals, fakes = next(module.parameters()), [], []
    latents = torch.Generator().manual_seed(0)
    with torch.random.fork_rng(devices=[module.device] if module.device.type == "cuda" else []):
        for batch in batches:
            if len(batch) > group:  # a batch of fewer images than those of training need not divide
                batch = batch[: len(batch) // group * group]
            images, labels = dataset[batch]
            c = labels.to(weight)
            reals.append(module.score(to_float(images).to(weight), c))
            z = torch.randn(len(batch), module.generator.z_dim, generator=latents).to(weight)
            ws = module.generator.mapping(z, c, update_w_avg=False)
            fakes.append(module.score(module.generator.synthesis(ws), c))
    return (torch.cat(reals), torch.cat(fakes)) if reals else None


def area_under_curve(reals: Tensor, fakes: Tensor) -> float:
    """The share of pairs in which the real image has the larger logit (N, 1). Equal ones count as half."""
    gaps = reals.double() - fakes.double().T
    return ((gaps > 0).double() + 0.5 * (gaps == 0).double()).mean().item()


def overfitting(real: float, fake: float, held_out: float) -> float | None:
    """r_v = (E[D(real)] - E[D(held out)]) / (E[D(real)] - E[D(fake)]) (ADA eq. 1): 0 without overfitting, 1 with all.

    None if D cannot tell real from generated images.
    """
    return (real - held_out) / (real - fake) if real != fake else None
