"""What a run is, beside its data and its model: its length, its folder, what it leaves behind."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from stylegan2.errors import InputError

LoggerName = Literal["wandb", "tensorboard"]


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """What a run is, beside its data and its model."""

    name: str | None = None
    """Folder below `runs` to write to. null: after the data, numbered if it exists."""

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
    """A numbered checkpoint every so many thousand images. 0: only last.ckpt, at the start and the end."""

    keep: int | None = 5
    """How many of the newest numbered checkpoints stay, beside the best one by the first of metrics.names and
    beside last.ckpt. null: all."""

    sample_kimg: float = 50
    """A sample grid every so many thousand images. 0: only at the start and the end."""

    log_kimg: float = 4
    """A row of numbers every so many thousand images."""

    loggers: list[LoggerName] = field(default_factory=list)
    """wandb and tensorboard, besides metrics.csv. With WANDB_MODE=offline wandb needs no account."""

    ckpt_path: str | None = None
    """Checkpoint to go on from; "last": the run's own. null: start anew."""

    accelerator: Literal["auto", "cpu", "gpu"] = "auto"
    """What to train on."""

    devices: int | list[int] | Literal["auto"] = "auto"
    """How many devices, or which. auto: all GPUs, or one CPU process."""

    def __post_init__(self) -> None:
        for name in ("kimg", "log_kimg", "batch"):
            if getattr(self, name) <= 0:
                raise InputError(
                    f"Expected {name} above 0, found {getattr(self, name)}. Set a positive number."
                )
        for name in ("snapshot_kimg", "sample_kimg", "seed"):
            if getattr(self, name) < 0:
                raise InputError(f"Expected {name} of 0 or more, found {getattr(self, name)}.")
        if self.keep is not None and self.keep < 1:
            raise InputError(
                f"Expected keep of 1 or more, or null for all, found {self.keep}. snapshot_kimg 0 writes no "
                "numbered checkpoints."
            )


RUN_FOLDER = "STYLEGAN2_RUN_FOLDER"
"""Tells the processes that training starts which folder the first one took."""

LAST = Path("checkpoints") / "last.ckpt"


def run_folder(options: RunOptions, default: str) -> Path:
    """The folder of a run: the named one; else the next free one after `default`, or to resume the latest.

    Raises:
        InputError: A new run would write over an old one, or there is none to resume.
    """
    if os.environ.get(RUN_FOLDER):
        return Path(os.environ[RUN_FOLDER])
    runs, resumes = Path(options.runs), options.ckpt_path == "last"
    if options.name is None:
        names = [default, *(f"{default}-{i}" for i in range(2, 10000))]
        free = next(i for i, name in enumerate(names) if not (runs / name).exists())
        folder = runs / names[max(free - 1, 0) if resumes else free]
    else:
        folder = runs / options.name
    if resumes and not (folder / LAST).is_file():
        raise InputError(
            f"--ckpt_path last expects {folder / LAST}, found no such file. Give the run's --name, or the "
            "path of a checkpoint, or leave --ckpt_path out to train from the start."
        )
    if not resumes and folder.exists() and any(folder.iterdir()):
        raise InputError(
            f"{folder} already holds a run. Go on with it by --ckpt_path last, or choose another --name."
        )
    return folder


def is_first_process() -> bool:
    """Whether this is the process the user started, and not one that training started beside it."""
    return int(os.environ.get("LOCAL_RANK", 0)) == 0 and int(os.environ.get("NODE_RANK", 0)) == 0
