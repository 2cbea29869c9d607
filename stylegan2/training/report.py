"""Keeps the page about a run up to date while it trains."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytorch_lightning as pl

from .unwritten import going_on

PAUSE = 60.0
"""Least seconds between two pages."""

SHARE = 0.02
"""Most of a run's time that pages take."""


class Report(pl.Callback):
    """Writes report.html into the folder of a run, at most once a minute and at the end.

    Args:
        folder: The folder of the run.
        clock: Returns seconds.
    """

    def __init__(self, folder: Path, clock: Callable[[], float] = time.perf_counter):
        self.folder, self._clock = folder, clock
        self._next = 0.0

    def on_train_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        self._next = self._clock() + PAUSE

    def on_train_batch_end(self, trainer: pl.Trainer, module: pl.LightningModule, *_: object) -> None:
        if trainer.is_global_zero and self._clock() >= self._next:
            self._write()

    def on_train_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        if trainer.is_global_zero:
            self._write()

    def _write(self) -> None:
        from stylegan2.reporting import read_run, write_report  # imports matplotlib

        start = self._clock()
        with going_on():
            write_report(self.folder / "report.html", [read_run(self.folder)])
        end = self._clock()
        self._next = end + max(PAUSE, (end - start) / SHARE)
