"""The options of a run besides its data and its model: its folder, its length, its output and its devices."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, field
from typing import Literal

from stylegan2.errors import InputError
from stylegan2.registry import check_choices

LoggerName = Literal["wandb", "tensorboard"]


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """The options of a run besides its data and its model.

    Raises:
        InputError: A number is out of range.
    """

    name: str | None = None
    """Folder of this run below `runs`, such as demo or photos/second. null: the name of the data, with a number if
    that folder exists."""

    runs: str = "runs"
    """Folder that holds the folders of all runs."""

    kimg: float = 25000
    """Length of training, in thousands of real images shown to the discriminator."""

    batch: int = 32
    """Images per iteration, over all devices."""

    batch_per_device: int | None = None
    """Images per micro-batch, which a device processes at once. The gradients of its micro-batches are averaged.
    null: one micro-batch per device."""

    seed: int = 0
    """Seed of weights, latents and the order of the images."""

    snapshot_kimg: float = 200
    """Thousands of images between two numbered checkpoints. 0: only last.ckpt, at the start and the end."""

    keep: int | None = 5
    """How many of the newest numbered checkpoints are kept. The best one by the first of metrics.names is kept
    too. null: all."""

    sample_kimg: float = 50
    """Thousands of images between two sample grids. 0: only at the start and the end."""

    log_kimg: float = 4
    """Thousands of images between two rows of metrics.csv."""

    loggers: list[LoggerName] = field(default_factory=list)
    """Loggers besides metrics.csv: wandb, tensorboard. With WANDB_MODE=offline wandb needs no account."""

    ckpt_path: str | None = None
    """Checkpoint to resume from. "last" is the newest checkpoint of this run. null: train from the start. A run that
    is resumed without --config takes its own config.yaml."""

    init_from: str | None = None
    """Transfer learning: a checkpoint whose weights a new run starts from, wherever they fit; init_from.csv lists
    every tensor. The data may have another resolution, other channels and classes. Counters and optimizers start
    anew, and the EMA has no ramp-up. A run that is resumed does not read it again. null: random weights."""

    freeze_d: int = 0
    """Number of D's layers, from the image on, whose weights of init_from stay as they are (FreezeD, Mo et al.
    2020). 4 is the first block of the default architecture."""

    accelerator: Literal["auto", "cpu", "gpu"] = "auto"
    """Hardware to train on. auto: the GPU if there is one, else the CPU."""

    devices: int | list[int] | Literal["auto"] = "auto"
    """How many devices, or which. auto: all GPUs, or one CPU process; under torchrun or srun, one for each of the
    processes that they started."""

    threads: int | None = None
    """Number of CPU threads of training on a CPU. null: OMP_NUM_THREADS if it is set, else the number that is fastest
    now, which is chosen by timing. Sums in another order round differently, so only a fixed number gives the same
    weights bit for bit."""

    compile: bool = False
    """Compile the networks for the adversarial losses by torch.compile. Its start takes minutes, and a compiler is
    needed. R1 and path length, which need second derivatives, are computed as without it. Results are equal up to
    rounding, but noise is drawn from another stream."""

    tf32: bool = False
    """Let GPUs round the inputs of float32 convolutions and products to TF32, with 10 bits of mantissa. It is faster,
    and deviates from the official code."""

    def __post_init__(self) -> None:
        check_choices(self)
        if self.threads is not None and self.threads < 1:
            raise InputError(
                f"Expected threads of 1 or more, found {self.threads}. Leave it out to choose by timing."
            )
        for name in ("kimg", "log_kimg", "batch", "batch_per_device"):
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                raise InputError(f"Expected {name} above 0, found {value}. Set a positive number.")
        for name in ("snapshot_kimg", "sample_kimg"):
            if not 0 <= getattr(self, name) < math.inf:
                raise InputError(f"Expected {name} of 0 or more, found {getattr(self, name)}.")
        if not 0 <= self.seed < 2**63:
            raise InputError(
                f"Expected a seed from 0 to 2^63 - 1, found {self.seed}. Set one of at most 18 digits."
            )
        if self.freeze_d and not self.init_from:
            raise InputError(
                f"Expected init_from beside freeze_d {self.freeze_d}, found none: random layers would stay random. "
                "Give --init_from a checkpoint, or leave --freeze_d out."
            )
        if self.devices != "auto":
            numbers = [self.devices - 1] if isinstance(self.devices, int) else self.devices
            if not numbers or min(numbers) < 0 or len(set(numbers)) < len(numbers):
                raise InputError(
                    "Expected devices as their number, 1 or more, or as a list of different ones from 0 on, found "
                    f"{self.devices}. Set auto for all that the machine has."
                )
        if self.name is not None:
            outside = os.path.normpath(self.name).split(os.sep)[0] in ("", ".", "..")
            if outside or any(ord(letter) < 32 for letter in self.name):
                raise InputError(
                    f"Expected the name of a folder below {self.runs}, found {self.name!r}. Set another name; "
                    "--runs sets where all runs lie."
                )
        if self.keep is not None and self.keep < 1:
            raise InputError(
                f"Expected keep of 1 or more, found {self.keep}. Set null to keep all numbered checkpoints, or "
                "snapshot_kimg to 0 to write none."
            )
