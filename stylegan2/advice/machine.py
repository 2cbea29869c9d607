"""What this machine can train: networks, batch and micro-batch that fit into its memory, and the time."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from stylegan2.advice.images import Advice, Size
from stylegan2.data.checking import usable_memory
from stylegan2.networks.scalings import Scalings
from stylegan2.sizes import divided, side
from stylegan2.training.cost import DAY, STARTING, convolution_speed, duration, training_flops
from stylegan2.training.module import StyleGAN2

ON_CPU = 64
"""The largest resolution that small networks on a CPU learn in a day or so."""

PER_ACTIVATION = 9.0
"""Bytes that an iteration needs at its peak, divided by the bytes of the blocks' outputs. Measured on a CPU."""

ROOM = 0.8
"""Share of the memory that a run may take."""

LONGEST = 25_000
"""kimg of the papers' runs."""


@dataclass(frozen=True)
class Machine:
    """The device that training would use, and its memory in bytes."""

    device: torch.device
    memory: int

    @classmethod
    def this(cls, cpu: bool = False) -> Machine:
        """This machine: its first GPU with the memory that is free there, or else the CPU with half of the RAM."""
        if torch.cuda.is_available() and not cpu:
            return cls(torch.device("cuda"), torch.cuda.mem_get_info(0)[0])
        return cls(torch.device("cpu"), usable_memory() // 2)

    @property
    def largest(self) -> int:
        """The largest side of images that is worth trying here."""
        return ON_CPU if self.device.type == "cpu" else 1024

    def networks(self, size: Size) -> Advice:
        """Channels that suit the images' size and the device, before memory is looked at."""
        if self.device.type == "cpu":
            options = {"channel_base": 32 * divided(size)["resolution"], "channel_max": 64}
            reason = "Small networks, since those of the paper are for GPUs."
        else:
            options = {"channel_base": 16384 if side(size) < 512 else 32768}
            reason = "The paper's numbers of channels for this size."
        return _channels(options, reason)


def _channels(options: dict[str, int], reason: str) -> Advice:
    named = {f"model.{n}.{k}": str(v) for n in ("generator", "discriminator") for k, v in options.items()}
    return Advice("Channels", f"base {options['channel_base']}", reason, named)


def halved(advice: Advice) -> Advice:
    """Networks with half of the channels."""
    options = {key: str(int(value) // 2) for key, value in advice.options.items()}
    base = options["model.generator.channel_base"]
    return Advice("Channels", f"base {base}", "Memory is short for more.", options)


def memory_of(model: StyleGAN2, micro_batch: int) -> float:
    """Bytes that an iteration needs, roughly: weights, gradients, Adam's moments, the EMA, and activations."""
    g, d = (sum(p.nbytes for p in n.parameters()) for n in (model.generator, model.discriminator))
    blocks = [b for n in (model.generator, model.discriminator) for b in n.config.blocks(Scalings())]
    outputs = 4 * sum(block.channels * block.size[0] * block.size[1] for block in blocks)
    return 4 * (g + d) + g + PER_ACTIVATION * outputs * micro_batch


def batch(images: int) -> int:
    """32, or the largest power of two that is no more than the images."""
    return min(32, 1 << images.bit_length() - 1)


def micro_batch(model: StyleGAN2, machine: Machine) -> int | None:
    """The largest micro-batch, the batch divided by a power of two and at least 4, that fits. None: none does."""
    size = model.batch
    while memory_of(model, size) > ROOM * machine.memory:
        size //= 2
        if size < min(4, model.batch):
            return None
    return size


def kimg_seconds(model: StyleGAN2, speed: float) -> float:
    """Roughly the seconds that training on 1,000 images takes, by the speed of convolutions in operations per second
    or by the time to start the ops of an iteration."""
    flops = training_flops(model.generator.config, model.discriminator.config, model.regularizers.values())
    return 1000 * max(flops / speed, STARTING / model.batch)


def time(model: StyleGAN2, machine: Machine, speed: float | None = None) -> Advice:
    """The length of a run, that of the papers on a GPU and what takes half a day on a CPU, and its time.

    Args:
        model: What is trained.
        machine: Where it is trained.
        speed: Floating-point operations per second of convolutions. None: they are measured.
    """
    each = kimg_seconds(model, speed or convolution_speed(machine.device, seconds=0.5))
    length = LONGEST
    if machine.device.type == "cpu":
        fits = int(DAY / 2 / each)
        digits = 10 ** max(len(str(fits)) - 1, 0)
        length = min(max(fits // digits * digits, 1), LONGEST)
    return Advice(
        "Time",
        f"roughly {duration(each * length)}",
        f"For {length} kimg on this {machine.device.type.upper()}, by the speed of a convolution measured now. "
        "Early samples tell more: look at them after a hundredth of it.",
        {"kimg": str(length)},
    )
