"""Loggers of a run: metrics.csv always, wandb and TensorBoard on request."""

from __future__ import annotations

import csv
import importlib.util
import os
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from pytorch_lightning.loggers import Logger, TensorBoardLogger, WandbLogger
from pytorch_lightning.utilities import rank_zero_only

from stylegan2.errors import InputError
from stylegan2.files import read_csv, replacing, write_text

from .folder import LAST
from .launch import is_first_process
from .options import LoggerName
from .unwritten import going_on

WANDB_ID = "wandb_id.txt"
"""File in the folder of a run that holds the id of its wandb run."""


class CSVLogger(Logger):
    """Appends one row of numbers per call to a CSV file, and keeps the rows that are already there.

    A column that a call does not give stays empty in its row. Lightning's own CSVLogger cannot be used,
    because it overwrites the file when a run is resumed. If a row cannot be written, a warning says so.
    """

    def __init__(self, path: Path):
        super().__init__()
        self.path = path

    @property
    def name(self) -> str:
        return "csv"

    @property
    def version(self) -> str:
        return ""

    @rank_zero_only
    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """Does nothing, because config.yaml holds the options."""

    @rank_zero_only
    @going_on()
    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        rows = read_csv(self.path)
        columns = list(dict.fromkeys([*(rows[0] if rows else ()), *metrics]))
        row = {key: _text(key, value) for key, value in metrics.items()}
        if not rows or list(rows[0]) != columns:
            self._replace(columns, [*rows, row])
            return
        size = self.path.stat().st_size
        try:
            with self.path.open("a", newline="", encoding="utf-8") as file:
                csv.DictWriter(file, columns, restval="").writerow(row)
        except OSError:
            os.truncate(self.path, size)  # no half row
            raise

    def forget_after(self, kimg: float) -> None:
        """Remove the rows after `kimg`, because a run that resumes there writes them again."""
        rows = [row for row in read_csv(self.path) if float(row["kimg"]) <= kimg + 1e-6]
        self._replace(list(rows[0]) if rows else [], rows)

    def _replace(self, columns: Sequence[str], rows: Sequence[dict[str, str]]) -> None:
        with replacing(self.path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
            if rows:
                writer = csv.DictWriter(file, columns, restval="")
                writer.writeheader()
                writer.writerows(rows)


def _text(column: str, value: float) -> str:
    """Format a number to six digits. Counters get more, so that they match the counters of checkpoints."""
    return f"{value:.{12 if column in ('kimg', 'iteration') else 6}g}"


def require_loggers(names: Sequence[LoggerName]) -> None:
    """Find out, before anything is written, whether loggers can be had. Asks for wandb's key at a terminal.

    Raises:
        InputError: A logger's package is not installed, or wandb has no key and nobody to ask for it.
    """
    if "tensorboard" in names and not importlib.util.find_spec("tensorboard"):
        raise InputError(
            "loggers names tensorboard, but the package is not installed. "
            'Install it: pip install "stylegan2[tensorboard]"'
        )
    if "wandb" in names and is_first_process():
        import wandb  # takes a second

        with _wandb_errors():
            wandb.login()


def make_loggers(names: Sequence[LoggerName], folder: Path) -> list[Logger]:
    """The CSV logger and those named, writing below the run's folder. A run that goes on keeps its wandb run.

    Raises:
        InputError: wandb cannot start.
    """
    loggers: list[Logger] = [CSVLogger(folder / "metrics.csv")]
    if "wandb" in names and is_first_process():
        logger = WandbLogger(
            project="stylegan2", name=folder.name, save_dir=str(folder), id=_wandb_id(folder)
        )
        with _wandb_errors():
            _ = logger.experiment  # starts it
        loggers.append(logger)
    if "tensorboard" in names:
        loggers.append(TensorBoardLogger(str(folder), name="tensorboard", version=""))
    return loggers


def finish_loggers(loggers: Sequence[Logger], folder: Path) -> None:
    """End the wandb run, so that another training in this process starts its own. The run of a sweep continues."""
    for logger in loggers:
        if isinstance(logger, WandbLogger) and logger.experiment.id == _read(folder / WANDB_ID):
            logger.experiment.finish()


def _wandb_id(folder: Path) -> str:
    """The wandb run of a folder, remembered there; a new one where no training has been saved yet."""
    if not ((folder / WANDB_ID).is_file() and (folder / LAST).is_file()):
        write_text(folder / WANDB_ID, secrets.token_hex(4))
    return _read(folder / WANDB_ID)


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8").strip()


@contextmanager
def _wandb_errors() -> Iterator[None]:
    import wandb

    try:
        yield
    except wandb.errors.Error as error:
        raise InputError(
            f"loggers names wandb, which cannot start: {error} Run `wandb login`, set WANDB_API_KEY, or set "
            "WANDB_MODE=offline, which needs neither account nor network."
        ) from error


def log_image(loggers: list[Logger], name: str, image: Image.Image, step: int) -> None:
    """Log an image with every logger that supports images."""
    for logger in loggers:
        if isinstance(logger, WandbLogger):
            logger.log_image(name, [image], step=step)
        elif isinstance(logger, TensorBoardLogger):
            logger.experiment.add_image(name, np.atleast_3d(np.asarray(image)), step, dataformats="HWC")
