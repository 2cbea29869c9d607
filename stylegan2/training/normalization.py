"""What normalizations ask of training: which penalties they stand, schedules, and equal state in all processes."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn

from stylegan2.data import ImageDataset, to_float
from stylegan2.errors import InputError
from stylegan2.networks.discriminator import Discriminator
from stylegan2.networks.generator import Generator
from stylegan2.networks.normalization.base import Normalization, normalizations

from . import distributed
from .regularizers import Regularizer, name_of


def check_penalties(
    generator: Generator, discriminator: Discriminator, used: Iterable[Regularizer]
) -> list[str]:
    """Check that every penalty in use can be computed through the normalizations of its network.

    Returns:
        A sentence for each penalty whose meaning a normalization changes.

    Raises:
        InputError: A normalization refuses a penalty. The message names both and the alternatives.
    """
    notes = []
    networks = {
        "generator": (
            generator.config.plan(generator.scalings).features,
            generator.config.weight_normalization,
        ),
        "discriminator": (discriminator.config.normalization, discriminator.config.weight_normalization),
    }
    for regularizer in used:
        penalty = name_of(regularizer)
        if not regularizer.every:
            continue
        for name in networks[regularizer.network]:
            kind = normalizations[name]
            if penalty in kind.refuses:
                others = [n for n, k in normalizations.items() if not k.refuses and not k.couples_samples]
                raise InputError(
                    f"Expected another normalization than {name} in the {regularizer.network} with the penalty "
                    f"{penalty}: {kind.refuses[penalty]}. Set model.{penalty}.every to 0, or choose one of "
                    f"{', '.join(others)}."
                )
            if penalty in kind.notes:
                notes.append(
                    f"With the normalization {name}, {penalty} changes its meaning: {kind.notes[penalty]}."
                )
    return notes


@torch.no_grad()
def advance(networks: Iterable[nn.Module], images: int) -> None:
    """Bring the state of normalizations to the end of an iteration, at which training has seen so many images.

    Running statistics become their means over processes, and schedules follow the images.
    """
    modules = [m for network in networks for m in network.modules() if isinstance(m, Normalization)]
    for module in modules:
        for buffer in module.buffers() if distributed.world_size() > 1 else ():
            if buffer.is_floating_point():
                buffer.copy_(distributed.average(buffer))
        module.advance(images)


def fill_reference(discriminator: Discriminator, dataset: ImageDataset, seed: int) -> None:
    """Fill the reference batch of virtual batch normalization with images of the data set, drawn by a seed."""
    reference = discriminator.reference
    if reference is None or reference.filled:
        return
    count = min(len(reference.inputs), dataset.num_images)
    order = torch.randperm(dataset.num_images, generator=torch.Generator().manual_seed(seed))[:count].tolist()
    images, labels = dataset[order]
    reference.fill(to_float(images).to(reference.inputs), labels.to(reference.labels))
