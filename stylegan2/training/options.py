"""What a run is, beside its data and its model: its length, its folder, what it leaves behind."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, field
from typing import Literal

from stylegan2.errors import InputError

LoggerName = Literal["wandb", "tensorboard"]


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """What a run is, beside its data and its model."""

    name: str | None = None
    """Folder below `runs` to write to, such as demo or photos/second. null: after the data, numbered if it
    exists."""

    runs: str = "runs"
    """Folder of all runs."""

    kimg: float = 25000
    """Length of training, in thousands of images shown to the discriminator."""

    batch: int = 32
    """Images in an iteration, over all devices."""

    batch_per_device: int | None = None
    """Images in a micro-batch, which a device takes at once; the gradients of its micro-batches add up. null:
    all of its share."""

    seed: int = 0
    """Of weights, latents and the order of the images."""

    snapshot_kimg: float = 200
    """A checkpoint every so many thousand images. 0: only at the end."""

    sample_kimg: float = 50
    """A sample grid every so many thousand images. 0: only at the start and the end."""

    log_kimg: float = 4
    """A row of numbers every so many thousand images."""

    loggers: list[LoggerName] = field(default_factory=list)
    """wandb and tensorboard, besides metrics.csv. With WANDB_MODE=offline wandb needs no account."""

    ckpt_path: str | None = None
    """Checkpoint to go on from; "last": the run's own. null: start anew. A run that goes on without --config takes
    its own configuration."""

    accelerator: Literal["auto", "cpu", "gpu"] = "auto"
    """What to train on."""

    devices: int | list[int] | Literal["auto"] = "auto"
    """How many devices, or which. auto: all GPUs, or one CPU process; under torchrun or srun, one for each of the
    processes that they started."""

    def __post_init__(self) -> None:
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
