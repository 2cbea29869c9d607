"""What a run will cost in time and in disk space, told before and soon after it starts."""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from tqdm import tqdm

from stylegan2.data import ImageDataset
from stylegan2.data.checking import usable_cpus
from stylegan2.errors import InputError
from stylegan2.files import bytes_text
from stylegan2.networks.config import NetworkConfig
from stylegan2.networks.scalings import Scalings
from stylegan2.sizes import text as size_text

from .module import StyleGAN2
from .options import RunOptions
from .regularizers import Regularizer

HOUR, DAY = 3600.0, 86400.0
UNITS = {"year": 365.25 * DAY, "day": DAY, "hour": HOUR, "minute": 60.0, "second": 1.0}

LONG = 3 * DAY
"""A run on a CPU that takes more seconds than this is told what would fit."""

STARTING = 0.03
"""Seconds in which the host starts the ops of an iteration, about 3,000."""

MUCH = 10e9
"""Checkpoints of more bytes than this come with the advice to keep fewer."""

CYCLE = 16
"""Iterations in which every lazy penalty is evaluated at least once: R1's default interval."""


def describe(
    model: StyleGAN2,
    options: RunOptions,
    dataset: ImageDataset,
    device: torch.device,
    folder: Path,
    done: float = 0,
) -> str:
    """Lines of text: the disk space of the run's checkpoints and, on a CPU, an estimate of the run's duration.

    Args:
        model: What is trained.
        options: The run's.
        dataset: The images.
        device: What it is trained on.
        folder: Where the checkpoints are written.
        done: kimg that the checkpoint which the run goes on from has seen.
    """
    lines = [disk(model, options, folder)]
    if device.type == "cpu":
        speed, reading = convolution_speed(device), reading_seconds(dataset)
        lines.append(time_on_cpu(model, options.kimg - done, speed, reading))
    return "\n".join(lines)


# ---- time


def convolution_flops(config: NetworkConfig) -> float:
    """Floating-point operations of a network's 3×3 convolutions for one image.

    A block has one convolution at its resolution and one that also runs at half of it, to the block's other side.
    """
    total = 0.0
    for block in config.blocks(Scalings()):
        r, channels = block.resolution, block.channels
        other = config.channels_at(r // 2) / 4 if r > 4 else 0
        total += 2 * 9 * math.prod(block.size) * channels * (channels + other)
    return total


def training_flops(
    generator: NetworkConfig, discriminator: NetworkConfig, regularizers: Iterable[Regularizer]
) -> float:
    """Floating-point operations of training for one image of a batch.

    A forward pass counts once. A backward pass counts once for the gradient of the inputs and once for that of the
    weights. In the generator's phase, G goes forward and back, and D forward and back to its inputs. In the
    discriminator's phase, G goes forward, and D forward and back for two images. A penalty on a gradient needs a
    forward pass, a backward pass to the inputs, and twice that again to differentiate the two.
    """
    g, d = convolution_flops(generator), convolution_flops(discriminator)
    total = 4 * g + 8 * d
    for regularizer in regularizers:
        if regularizer.every:
            images = 1 / getattr(regularizer, "batch_shrink", 1)
            total += images / regularizer.every * 6 * (g if regularizer.network == "generator" else d)
    return total


@torch.no_grad()
def convolution_speed(device: torch.device, seconds: float = 0.1) -> float:
    """Floating-point operations per second of a 3×3 convolution of 64 channels at 32×32, measured now."""
    wait: Callable[[], object] = torch.cuda.synchronize if device.type == "cuda" else lambda: None
    x, weight = torch.ones(4, 64, 32, 32, device=device), torch.ones(64, 64, 3, 3, device=device)
    flops = 2 * weight.numel() * x[:, 0].numel()
    best, end = math.inf, time.perf_counter() + seconds
    while time.perf_counter() < end or best == math.inf:
        wait()
        start = time.perf_counter()
        F.conv2d(x, weight, padding=1)
        wait()
        best = min(best, time.perf_counter() - start)
    return flops / best


def reading_seconds(dataset: ImageDataset, seconds: float = 0.1) -> float:
    """The seconds in which all CPUs together read and decode an image, measured now on one. 0: all are in memory."""
    if dataset.in_memory:
        return 0.0
    count, start = 0, time.perf_counter()
    while count < dataset.num_images and time.perf_counter() - start < seconds:
        with suppress(InputError):  # training goes on without an image that has just been lost
            dataset.read(count)
        count += 1
    return (time.perf_counter() - start) / count / usable_cpus()


def training_seconds(model: StyleGAN2, kimg: float, device: torch.device) -> float:
    """Estimate roughly how long training takes, by the speed of convolutions and by the time to start the ops."""
    flops = training_flops(model.generator.config, model.discriminator.config, model.regularizers.values())
    iterations = 1000 * kimg / model.batch
    return max(1000 * kimg * flops / convolution_speed(device), iterations * STARTING)


def time_on_cpu(model: StyleGAN2, kimg: float, speed: float, reading: float = 0.0) -> str:
    """How long a CPU takes, and what fits if that is very long.

    Args:
        model: What is trained.
        kimg: How long it is trained.
        speed: Floating-point operations per second of convolutions.
        reading: Seconds in which an image is read and decoded.
    """
    g, d, regularizers = model.generator.config, model.discriminator.config, model.regularizers.values()

    def kimg_seconds(g: NetworkConfig, d: NetworkConfig) -> float:
        computing = training_flops(g, d, regularizers) / speed
        return 1000 * (max(computing, STARTING / model.batch) + reading)

    seconds_per_kimg = kimg_seconds(g, d)
    total = seconds_per_kimg * kimg
    by = "convolutions and of reading images" if reading else "convolutions"
    text = f"Duration   roughly {duration(total)} for {kimg:g} kimg, by the speed of {by} on this CPU"
    if total < LONG:
        return text
    resolution = min(g.resolution, 64)
    size: dict[str, Any] = {"channel_base": 32 * resolution, "channel_max": 64}
    small = [replace(config, resolution=resolution, **size) for config in (g, d)]
    h, w = small[0].image_size
    small_per_kimg = kimg_seconds(*small)
    fits = min(_one_digit(DAY / 2 / small_per_kimg), kimg)
    networks = " ".join(
        f"--model.{n}.{k} {v}" for n in ("generator", "discriminator") for k, v in size.items()
    )
    return (
        f"{text}.\n"
        f"           A day is enough for {DAY / seconds_per_kimg:.2g} kimg. Train this configuration on a GPU.\n"
        f"           On this CPU small networks at {size_text(small[0].image_size)} fit: {fits:g} kimg take roughly "
        f"{duration(fits * small_per_kimg)} with\n"
        f"           --data.resolution {resolution if h == w else f'{h},{w}'} --kimg {fits:g} {networks}"
    )


class MeasuredDuration(pl.Callback):
    """Says once, when every lazy penalty has been evaluated, how long the rest of the run takes."""

    def __init__(self, kimg: float):
        self.images = kimg * 1000
        self._iterations = 0

    def on_train_batch_end(self, trainer: pl.Trainer, module: StyleGAN2, *_: object) -> None:
        self._iterations += 1
        if self._iterations == 1:  # it also builds kernels and plans convolutions
            self._start, self._seen = time.perf_counter(), module.images
        elif self._iterations == 1 + CYCLE and trainer.is_global_zero:
            rate = (module.images - self._seen) / (time.perf_counter() - self._start)
            rest = duration(max(self.images - module.images, 0) / rate)
            tqdm.write(f"Duration   about {rest} more, at {images_per_second(rate)} measured")


def duration(seconds: float) -> str:
    """A time in its largest unit: "2.1 years", "40 minutes"."""
    unit, size = next(((u, s) for u, s in UNITS.items() if seconds >= s), ("second", 1.0))
    number = _two_digits(seconds / size)
    return f"{number} {unit}" + ("" if number == "1" else "s")


def images_per_second(rate: float) -> str:
    """A speed of training in a unit in which it is no 0: kimg/s, img/s or s/img."""
    if rate >= 10:
        return f"{rate / 1000:.2g} kimg/s"
    if rate >= 0.1:
        return f"{rate:.2g} img/s"
    return f"{_two_digits(1 / rate)} s/img" if rate > 0 else "? img/s"


def _two_digits(x: float) -> str:
    """A number of two significant digits, or more before the decimal point."""
    return f"{x:.2g}" if x < 99.5 else f"{x:,.0f}"


def _one_digit(x: float) -> float:
    """The largest number of one significant digit that is no more than x."""
    power = 10 ** math.floor(math.log10(x))
    return math.floor(x / power) * power


# ---- disk space


def checkpoint_bytes(model: StyleGAN2) -> int:
    """The size of a checkpoint: the weights, those of the generator EMA, and Adam's two moments of each."""
    state = sum(tensor.nbytes for tensor in model.state_dict().values())
    trained = (model.generator, model.discriminator)
    return state + 2 * sum(p.nbytes for network in trained for p in network.parameters())


def disk(model: StyleGAN2, options: RunOptions, folder: Path) -> str:
    """How much the run's checkpoints take, and whether the disk has room for them."""
    size, numbered = checkpoint_bytes(model), 0
    if options.snapshot_kimg:
        numbered = int(options.kimg / options.snapshot_kimg)
    if not numbered:
        return f"Disk       a checkpoint of {bytes_text(size)}"
    # The best one is kept too, and last.ckpt.
    kept = 1 + (numbered if options.keep is None else min(numbered, options.keep + 1))
    text = f"Disk       {kept} checkpoints of {bytes_text(size)}, {bytes_text(kept * size)} over the run"
    if kept <= numbered:
        text += (
            f" with --keep {options.keep}; all {numbered + 1} would take {bytes_text((numbered + 1) * size)}"
        )
    free = shutil.disk_usage(folder).free
    if kept * size > free:
        text += f"; only {bytes_text(free)} are free"
    if options.keep is None and kept * size > min(MUCH, free):
        text += ". --keep 3 keeps the newest three"
    return text
