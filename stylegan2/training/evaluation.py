"""Metrics measured during training. Measuring does not change the random state of training."""

from __future__ import annotations

import time
from pathlib import Path

import pytorch_lightning as pl

from stylegan2.data import ImageDataset
from stylegan2.metrics.figures import merged, read_figures, write_figures
from stylegan2.metrics.options import MetricOptions

from .callbacks import passed
from .measuring import Measuring
from .module import StyleGAN2

FIGURES = "figures.csv"
"""File in the folder of a run that holds the figures with their provenance."""


class Evaluation(pl.Callback):
    """Measures metrics of images from the sampling generator, during training and at the end.

    The values are logged as metric_NAME, and the time for measuring all of them as evaluation_seconds. figures.csv in
    the run's folder holds them with their provenance. Several processes share the work.

    Args:
        options: Which metrics are measured, how often, and on how many images.
        dataset: The real images.
        folder: The folder of the run.
    """

    def __init__(self, options: MetricOptions, dataset: ImageDataset, folder: Path):
        self.options, self.file = options, folder / FIGURES
        self._measuring = Measuring(options, dataset) if options.names else None
        self._measured_at: int | None = None

    def on_train_start(self, trainer: pl.Trainer, module: StyleGAN2) -> None:
        if (
            trainer.is_global_zero and self.file.is_file()
        ):  # a run that resumes here measures later ones again
            kept = [f for f in read_figures(self.file) if f.kimg <= module.images / 1000 + 1e-6]
            write_figures(self.file, kept)

    def on_train_batch_end(self, trainer: pl.Trainer, module: StyleGAN2, *_: object) -> None:
        if passed(module, self.options.every_kimg * 1000):
            self._measure(trainer, module)

    def on_train_end(self, trainer: pl.Trainer, module: StyleGAN2) -> None:
        if self._measured_at != module.images:
            self._measure(trainer, module)

    def _measure(self, trainer: pl.Trainer, module: StyleGAN2) -> None:
        if self._measuring is None:
            return
        start = time.perf_counter()
        figures = self._measuring.figures(module.sampling_generator, kimg=module.images / 1000)
        self._measured_at = module.images
        if not trainer.is_global_zero:
            return
        row = {"kimg": module.images / 1000, "iteration": module.iteration}
        row |= {f"metric_{figure.column}": figure.value for figure in figures}
        row["evaluation_seconds"] = time.perf_counter() - start
        for logger in trainer.loggers:
            logger.log_metrics(row, step=module.images)
        write_figures(self.file, merged(read_figures(self.file), figures))
