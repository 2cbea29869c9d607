"""Lightning callbacks of a run: progress bar, logging, checkpoints and stopping."""

from __future__ import annotations

import signal
import time
from collections import defaultdict
from pathlib import Path

import pytorch_lightning as pl
import torch
from torch import Tensor
from tqdm import tqdm

from stylegan2.errors import InputError

from . import checkpoint, distributed
from .loggers import CSVLogger
from .module import StyleGAN2


class Progress(pl.Callback):
    """A progress bar over the run's kimg, with the estimated time left and the latest losses.

    Reading a loss waits for the GPU. The bar therefore reads them only when it redraws, once per second.

    Args:
        kimg: Length of the run in thousands of images.
    """

    SHORT = {"loss_g": "G", "loss_d": "D", "r1": "R1", "path_length": "PL"}

    def __init__(self, kimg: float):
        self.kimg = kimg
        self.bar: tqdm | None = None
        self._latest: dict[str, Tensor] = {}
        self._drawn = 0.0

    def on_train_start(self, trainer: pl.Trainer, module: StyleGAN2) -> None:
        self.bar = tqdm(
            total=self.kimg,
            initial=module.images / 1000,
            unit="kimg",
            disable=not trainer.is_global_zero,
            bar_format="{desc}{percentage:3.0f}% |{bar}| {n:.1f}/{total:.6g} kimg [{elapsed}<{remaining}, "
            "{rate_noinv_fmt}{postfix}]",
            mininterval=1.0,
            smoothing=0.1,
        )

    def on_train_batch_end(self, trainer: pl.Trainer, module: StyleGAN2, *_: object) -> None:
        self._latest |= module.losses
        if time.perf_counter() - self._drawn >= 1.0:
            self._draw(module)

    def _draw(self, module: StyleGAN2) -> None:
        shown = {self.SHORT.get(name, name): f"{v.item():.3g}" for name, v in self._latest.items()}
        self.bar.set_postfix(shown, refresh=False)
        self.bar.update(min(module.images / 1000, self.kimg) - self.bar.n)
        self._drawn = time.perf_counter()

    def on_train_end(self, trainer: pl.Trainer, module: StyleGAN2) -> None:
        self._draw(module)
        self.bar.close()

    def on_exception(self, trainer: pl.Trainer, module: StyleGAN2, exception: BaseException) -> None:
        if self.bar is not None:
            self.bar.close()


class LossLogger(pl.Callback):
    """Logs one row of numbers every `every_kimg` thousand images.

    A row holds the speed and the mean of each loss over the iterations that computed it since the previous
    row. A penalty that none of them computed is left out.
    """

    def __init__(self, every_kimg: float):
        self.every = every_kimg * 1000
        self._sums: dict[str, list[Tensor]] = defaultdict(list)

    def on_train_start(self, trainer: pl.Trainer, module: StyleGAN2) -> None:
        for logger in trainer.loggers:
            if isinstance(logger, CSVLogger) and trainer.is_global_zero:
                logger.forget_after(module.images / 1000)
        self._begin(module)

    def _begin(self, module: StyleGAN2) -> None:
        self._sums.clear()
        self._time, self._images = time.perf_counter(), module.images

    def on_train_batch_end(self, trainer: pl.Trainer, module: StyleGAN2, *_) -> None:
        for name, value in module.losses.items():
            self._sums[name].append(value)
        if passed(module, self.every):
            module.check_finite()
            values = {name: torch.stack(values).mean().item() for name, values in self._sums.items()}
            seconds = time.perf_counter() - self._time
            for regularizer in module.regularizers.values():
                values |= {name: getattr(module, name).item() for name in regularizer.state}
            values["kimg_per_second"] = (module.images - self._images) / 1000 / seconds
            if module.device.type == "cuda":
                values["gpu_gb"] = torch.cuda.max_memory_allocated(module.device) / 1e9
            head = {"kimg": module.images / 1000, "iteration": module.iteration}
            for logger in trainer.loggers:
                logger.log_metrics(head | values, step=module.images)
            self._begin(module)


class Snapshots(pl.Callback):
    """Writes last.ckpt every `every_kimg` thousand images and at the end.

    Each write before the end also makes a copy that is named after the kimg.
    """

    def __init__(self, folder: Path, every_kimg: float):
        self.folder, self.every = folder, every_kimg * 1000
        self._begun = False

    def on_train_batch_end(self, trainer: pl.Trainer, module: StyleGAN2, *_) -> None:
        self._begun = True
        if passed(module, self.every):
            self.write(trainer, module, numbered=True)

    def on_train_end(self, trainer: pl.Trainer, module: StyleGAN2) -> None:
        self.write(trainer, module, numbered=False)

    def on_exception(self, trainer: pl.Trainer, module: StyleGAN2, exception: BaseException) -> None:
        """The data have ended, between two iterations. Other processes may still be in theirs."""
        if isinstance(exception, InputError) and self._begun and trainer.world_size == 1:
            self.write(trainer, module, numbered=False)

    def write(self, trainer: pl.Trainer, module: StyleGAN2, numbered: bool) -> None:
        module.check_finite()
        also = self.folder / f"{kimg_name(module)}.ckpt" if numbered else None
        checkpoint.save(trainer, self.folder / "last.ckpt", also)


class Stop(pl.Callback):
    """Ends training between two iterations, after `kimg` thousand images or at Ctrl-C or SIGTERM.

    A second signal ends the process immediately.
    """

    def __init__(self, kimg: float):
        self.images, self.signal = kimg * 1000, 0
        self._handlers = {}

    def on_train_start(self, trainer: pl.Trainer, module: StyleGAN2) -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            self._handlers[number] = signal.signal(number, self._handle)

    def _handle(self, number: int, frame) -> None:
        self.signal = number
        self._restore()
        tqdm.write(
            "\nStopping after this iteration and saving. Send the signal again to stop without saving."
        )

    def _restore(self) -> None:
        while self._handlers:
            signal.signal(*self._handlers.popitem())

    def on_train_batch_end(self, trainer: pl.Trainer, module: StyleGAN2, *_) -> None:
        interrupted = distributed.any_process(bool(self.signal), module.device)
        if interrupted or module.images >= self.images:
            trainer.should_stop = True

    def teardown(self, trainer: pl.Trainer, module: StyleGAN2, stage: str) -> None:
        self._restore()


def kimg_name(module: StyleGAN2) -> str:
    """The base name of a file that a run writes now, such as kimg00123.424. Names sort by age."""
    return f"kimg{module.images / 1000:09.3f}"


def passed(module: StyleGAN2, every: float) -> bool:
    """Whether the latest iteration crossed a multiple of `every` images."""
    return every > 0 and module.images // every > (module.images - module.batch) // every
