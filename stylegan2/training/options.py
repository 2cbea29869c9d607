"""The options of a run besides its data and its model: its folder, its length, its output and its devices."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
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
    """Folder of this run, below `runs`. null: the name of the data, with a number if that folder exists."""

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
    """Checkpoint to resume from. "last" is the newest checkpoint of this run. null: train from the start."""

    accelerator: Literal["auto", "cpu", "gpu"] = "auto"
    """Hardware to train on. auto: the GPU if there is one, else the CPU."""

    devices: int | list[int] | Literal["auto"] = "auto"
    """Number of devices, or a list of their indices. auto: all GPUs, or one CPU process."""

    threads: int | None = None
    """Number of CPU threads of training on a CPU. null: OMP_NUM_THREADS if it is set, else the number that is fastest
    now, which is chosen by timing. Sums in another order round differently, so only a fixed number gives the same
    weights bit for bit."""

    def __post_init__(self) -> None:
        check_choices(self)
        if self.threads is not None and self.threads < 1:
            raise InputError(
                f"Expected threads of 1 or more, found {self.threads}. Leave it out to choose by timing."
            )
        for name in ("kimg", "log_kimg", "batch"):
            if getattr(self, name) <= 0:
                raise InputError(
                    f"Expected {name} above 0, found {getattr(self, name)}. Set a positive number."
                )
        for name in ("snapshot_kimg", "sample_kimg", "seed"):
            if getattr(self, name) < 0:
                raise InputError(
                    f"Expected {name} of 0 or more, found {getattr(self, name)}. Set a number that is not negative."
                )
        if self.keep is not None and self.keep < 1:
            raise InputError(
                f"Expected keep of 1 or more, found {self.keep}. Set null to keep all numbered checkpoints, or "
                "snapshot_kimg to 0 to write none."
            )


RUN_FOLDER = "STYLEGAN2_RUN_FOLDER"
"""Environment variable that tells the processes started by training which folder the first one chose."""

LAST = Path("checkpoints") / "last.ckpt"


def run_folder(options: RunOptions, default: str) -> Path:
    """The folder of a run.

    A run with a name uses the folder of that name. Without a name, a new run takes the first free folder of
    `default`, `default`-2, `default`-3 and so on, and a resumed run takes the last of them that exists.

    Raises:
        InputError: A new run would overwrite an old one, or there is no run to resume.
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
            f"--ckpt_path last expects {folder / LAST}, but there is no such file. Give the run's --name or the "
            "path of a checkpoint, or leave --ckpt_path out to train from the start."
        )
    if not resumes and folder.exists() and any(folder.iterdir()):
        raise InputError(
            f"Expected a new or empty folder, but {folder} already holds a run. Resume it with --ckpt_path last, "
            "or choose another --name."
        )
    return folder


def is_first_process() -> bool:
    """Whether this is the process that the user started, and not one that training started."""
    return int(os.environ.get("LOCAL_RANK", 0)) == 0 and int(os.environ.get("NODE_RANK", 0)) == 0
