"""Which micro-batch fits, if an iteration needs more memory than the device has."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from stylegan2.errors import InputError

from . import distributed
from .data import divides

if TYPE_CHECKING:
    from .module import StyleGAN2


def is_out_of_memory(error: RuntimeError) -> bool:
    """Whether an error of PyTorch says that memory is short, on a GPU or on the CPU."""
    return isinstance(error, torch.OutOfMemoryError) or "allocate memory" in str(error)


def too_large(model: StyleGAN2, real: Tensor, c: Tensor) -> InputError:
    """What to tell the user after an iteration ran out of memory: the largest micro-batch that fits.

    Micro-batches of about a half, a quarter and so on are tried in every phase of an iteration. With several
    processes nothing is tried, because the phases communicate and the others may have enough memory.

    Args:
        model: The model on its device.
        real: Real images of this process, (n, C, R, R) in [-1, 1].
        c: Their labels, (n, num_classes).
    """
    n, processes = len(real), distributed.world_size()
    size = model.batch_per_device or n
    found = (
        f"Expected that {size} images fit into the memory of {model.device} at once, found that they do not."
    )
    group = model.discriminator.minibatch_group if model.config.scalings.minibatch_stddev else None
    valid = [k for k in range(1, size) if divides(n * processes, k, processes, group)]
    tried = size
    while smaller := [k for k in valid if k <= tried // 2]:
        tried = smaller[-1]
        if processes > 1:
            return InputError(f"{found} Try --batch_per_device {tried}.")
        if fits(model, real[:tried], c[:tried]):
            return InputError(
                f"{found} {tried} fit: add --batch_per_device {tried}, which averages the gradients of smaller parts."
            )
    return InputError(
        f"{found} Not even {tried} fit. Lower data.resolution, or the channel_base of model.generator and "
        "model.discriminator."
    )


def fits(model: StyleGAN2, real: Tensor, c: Tensor) -> bool:
    """Whether memory suffices for every phase of an iteration on a micro-batch. The model stays as it is."""
    phases = [model.generator_loss, model.discriminator_loss]
    phases += [lambda *data, name=name: model.penalty(name, *data) for name in model.regularizers]
    before = [buffer.clone() for buffer in model.buffers()]
    enough = True
    for phase in phases:
        try:
            phase(real, c).backward()
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            enough = False
        model.zero_grad()
        if not enough:
            break
    for buffer, value in zip(model.buffers(), before):
        buffer.copy_(value)
    if model.device.type == "cuda":
        torch.cuda.empty_cache()
    return enough
