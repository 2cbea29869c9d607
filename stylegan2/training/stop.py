"""The end of training: after so many kimg, at a signal, or when no more images come."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

import pytorch_lightning as pl

from . import distributed
from .data import TrainingData
from .module import StyleGAN2

NAMES = ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1")
SIGNALS = [getattr(signal, name) for name in NAMES if hasattr(signal, name)]
"""What asks a process to end: Ctrl-C, the system or a scheduler, a terminal that closes, and a scheduler whose time
limit comes near (SLURM's --signal=USR1@60)."""

TOGETHER = 0.5
"""Seconds within which signals count as one: `timeout`, for example, sends its own twice."""


class Stop(pl.Callback):
    """Ends training between two iterations, in all processes at once, so that everything is saved as at its end.

    A second signal ends the process at once, with status 128 + signal. To be used around `fit`:
    `with stop.signals(): trainer.fit(...)`.

    Args:
        kimg: Length of training.
        data: Where the images come from.
    """

    def __init__(self, kimg: float, data: TrainingData):
        self.images, self.data = kimg * 1000, data
        self.signal = 0
        """The signal that ended training, in whichever process it arrived."""
        self.failure = ""
        """Why no more images came."""
        self._received, self._when = 0, 0.0
        self._trainer: pl.Trainer | None = None

    @contextmanager
    def signals(self) -> Iterator[None]:
        """Take signals until the block ends. Those that the process ignores, as under nohup, stay ignored.

        Python lets the main thread alone take signals; in another one this does nothing.
        """
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        taken = [number for number in SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
        before = {number: signal.signal(number, self._handle) for number in taken}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, signal.SIG_DFL if handler is None else handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self._received:
            if time.monotonic() - self._when > TOGETHER:
                self._end_at_once(number)
            return
        self._received, self._when = number, time.monotonic()
        with suppress(
            OSError, RuntimeError, ValueError
        ):  # the terminal is gone, or was just being written to
            print("\nStopping after this iteration and saving; once more to stop at once.", file=sys.stderr)
        self.data.stop_waiting()

    def _end_at_once(self, number: int) -> None:
        launcher = self._trainer.strategy.launcher if self._trainer else None
        if launcher is not None:
            launcher.kill(getattr(signal, "SIGKILL", signal.SIGTERM))  # the processes that this one started
        os._exit(128 + number)  # the checkpoint before stays whole, since a new one replaces it in one step

    def setup(self, trainer: pl.Trainer, module: StyleGAN2, stage: str) -> None:
        self._trainer = trainer
        # Lightning's own handlers end training without saving, send messages between processes in the middle of
        # others, and let SLURM start a job again from checkpoints of their own.
        trainer._signal_connector.register_signal_handlers = lambda: None  # type: ignore[method-assign]

    def on_train_start(self, trainer: pl.Trainer, module: StyleGAN2) -> None:
        self._agree(trainer, module)

    def on_train_batch_end(self, trainer: pl.Trainer, module: StyleGAN2, *_: object) -> None:
        self._agree(trainer, module)
        if module.images >= self.images:
            trainer.should_stop = True

    def on_train_epoch_end(self, trainer: pl.Trainer, module: StyleGAN2) -> None:
        # An epoch is endless, but for images that no longer come. Several processes have agreed on that before:
        # each has its next batch before it starts an iteration.
        if not trainer.should_stop:
            self._agree(trainer, module)

    def _agree(self, trainer: pl.Trainer, module: StyleGAN2) -> None:
        """End training in every process if one of them has a reason."""
        if distributed.any_process(bool(self._received or self.data.failure), module.device):
            self.signal = max(distributed.gather(self._received))
            self.failure = next(filter(None, distributed.gather(self.data.failure)), "")
            trainer.should_stop = True
