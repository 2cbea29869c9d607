"""What the discriminator says about images that it is never trained on (Karras et al. 2020, arXiv 2006.06676, §2)."""

from __future__ import annotations

import torch

from stylegan2.data import ImageDataset, to_float

from .module import StyleGAN2

MOST = 256
"""The largest number of images that are looked at for a row of metrics.csv."""


@torch.no_grad()
def held_out_logit(module: StyleGAN2, dataset: ImageDataset, size: int) -> float | None:
    """D's mean logit for held-out images, augmented as those that it is trained on. None: no image is held out.

    The random state is restored afterwards. The images are the same at every call.

    Args:
        module: The discriminator and the augmentation.
        dataset: The images.
        size: Images per micro-batch of training, which minibatch stddev makes part of the logits.
    """
    rows = dataset.held_out[:MOST]
    group = module.discriminator.minibatch_group or 1
    batches = [rows[start : start + size] for start in range(0, len(rows), size)]
    if len(batches) > 1 and len(batches[-1]) < size:
        batches.pop()
    weight, logits = next(module.parameters()), []
    with torch.random.fork_rng(devices=[module.device] if module.device.type == "cuda" else []):
        for batch in batches:
            if len(batch) > group:  # a batch of fewer images than those of training need not divide
                batch = batch[: len(batch) // group * group]
            images, labels = dataset[batch]
            logits.append(module.score(to_float(images).to(weight), labels.to(weight)))
    return torch.cat(logits).mean().item() if logits else None


def overfitting(real: float, fake: float, held_out: float) -> float | None:
    """r_v = (E[D(real)] - E[D(held out)]) / (E[D(real)] - E[D(fake)]) (ADA eq. 1): 0 without overfitting, 1 with all.

    None if D cannot tell real from generated images.
    """
    return (real - held_out) / (real - fake) if real != fake else None
