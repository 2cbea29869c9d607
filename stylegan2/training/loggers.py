"""Loggers of a run: metrics.csv always, wandb and TensorBoard on request."""

from __future__ import annotations

import csv
import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from pytorch_lightning.loggers import Logger, TensorBoardLogger, WandbLogger
from pytorch_lightning.utilities import rank_zero_only

from stylegan2.errors import InputError
from stylegan2.files import replacing

from .options import LoggerName


class CSVLogger(Logger):
    """Appends one row of numbers per call to a CSV file, and keeps the rows that are already there.

    A column that a call does not give stays empty in its row. Lightning's own CSVLogger cannot be used,
    because it overwrites the file when a run is resumed.
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
    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        rows = read_csv(self.path)
        columns = list(dict.fromkeys([*(rows[0] if rows else ()), *metrics]))
        is_new = not rows or list(rows[0]) != columns
        with self.path.open("w" if is_new else "a", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, columns, restval="")
            if is_new:
                writer.writeheader()
                writer.writerows(rows)
            writer.writerow({key: _text(key, value) for key, value in metrics.items()})

    def forget_after(self, kimg: float) -> None:
        """Remove the rows after `kimg`, because a run that resumes there writes them again."""
        rows = [row for row in read_csv(self.path) if float(row["kimg"]) <= kimg + 1e-6]
        with replacing(self.path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
            if rows:
                writer = csv.DictWriter(file, list(rows[0]))
                writer.writeheader()
                writer.writerows(rows)


def _text(column: str, value: float) -> str:
    """Format a number to six digits. Counters get more, so that they match the counters of checkpoints."""
    return f"{value:.{12 if column in ('kimg', 'iteration') else 6}g}"


def read_csv(path: Path) -> list[dict[str, str]]:
    """The rows of a metrics.csv, or an empty list if the file does not exist."""
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def make_loggers(names: list[LoggerName], folder: Path) -> list[Logger]:
    """The CSV logger and the named loggers. All write below the run's folder.

    Raises:
        InputError: A logger's package is not installed.
    """
    loggers: list[Logger] = [CSVLogger(folder / "metrics.csv")]
    if "wandb" in names:
        loggers.append(WandbLogger(project="stylegan2", name=folder.name, save_dir=str(folder)))
    if "tensorboard" in names:
        if not importlib.util.find_spec("tensorboard"):
            raise InputError(
                "--loggers tensorboard needs the package tensorboard, which is not installed. "
                'Install it: pip install "stylegan2[tensorboard]"'
            )
        loggers.append(TensorBoardLogger(str(folder), name="tensorboard", version=""))
    return loggers


def log_image(loggers: list[Logger], name: str, image: Image.Image, step: int) -> None:
    """Log an image with every logger that supports images."""
    for logger in loggers:
        if isinstance(logger, WandbLogger):
            logger.log_image(name, [image], step=step)
        elif isinstance(logger, TensorBoardLogger):
            logger.experiment.add_image(name, np.atleast_3d(np.asarray(image)), step, dataformats="HWC")
