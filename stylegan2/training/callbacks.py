"""Lightning callbacks of a run: progress bar and logging."""

from __future__ import annotations

import time
from collections import defaultdict
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor
from tqdm import tqdm

from stylegan2.data import ImageDataset
from stylegan2.threads import ThreadTuner

from .cost import images_per_second
from .held_out import area_under_curve, held_out_logits, overfitting
from .loggers import CSVLogger
from .module import StyleGAN2


class Bar(tqdm):  # type: ignore[type-arg]  # which is generic in its stubs alone
    """A progress bar in kimg, whose `speed` and `done` are no 0 in slow training."""

    @property
    def format_dict(self) -> dict[str, Any]:
        values = super().format_dict
        rate = values["rate"] or (values["n"] - (values["initial"] or 0)) / max(values["elapsed"], 1e-9)
        done = f"{values['n']:.1f}" if values["n"] >= 10 else f"{values['n']:.3g}"
        return {**values, "speed": images_per_second(1000 * rate), "done": done}


class Progress(pl.Callback):
    """A progress bar over the run's kimg, with the estimated time left and the latest losses.

    Reading a loss waits for the GPU. The bar therefore reads them only when it redraws, once per second.

    Args:
        kimg: Length of the run in thousands of images.
    """

    SHORT = {"loss_g": "G", "loss_d": "D", "r1": "R1", "path_length": "PL", "augment_p": "p"}

    def __init__(self, kimg: float):
        self.kimg = kimg
        self.bar = Bar(disable=True)
        self._latest: dict[str, Tensor] = {}
        self._drawn = 0.0

    def on_train_start(self, trainer: pl.Trainer, module: StyleGAN2) -> None:
        self.bar = Bar(
            total=self.kimg,
            initial=module.images / 1000,
            unit="kimg",
            disable=not trainer.is_global_zero,
            bar_format="{desc}{percentage:3.0f}% |{bar}| {done}/{total:.6g} kimg [{elapsed}<{remaining}, "
            "{speed}{postfix}]",
            mininterval=1.0,
            smoothing=0.1,
        )

    def on_train_batch_end(self, trainer: pl.Trainer, module: StyleGAN2, *_: object) -> None:
        self._latest |= module.losses
        if time.perf_counter() - self._drawn >= 1.0:
            self._draw(module)

    def _draw(self, module: StyleGAN2) -> None:
        latest = self._latest | module.augmentation.statistics()
        shown = {self.SHORT.get(name, name): f"{v.item():.3g}" for name, v in latest.items()}
        self.bar.set_postfix(shown, refresh=False)
        self.bar.update(min(module.images / 1000, self.kimg) - self.bar.n)
        self._drawn = time.perf_counter()

    def on_train_end(self, trainer: pl.Trainer, module: StyleGAN2) -> None:
        self._draw(module)
        self.bar.close()

    def on_exception(self, trainer: pl.Trainer, module: StyleGAN2, exception: BaseException) -> None:
        self.bar.close()


class TuneThreads(pl.Callback):
    """Keeps the number of CPU threads at the fastest one, as `stylegan2.threads` explains.

    Only iterations with as few penalties as possible are compared, because a penalty takes much time. It has to come
    before callbacks that take long themselves.

    Args:
        tuner: Chooses the number. None: the number stays as it is.
    """

    def __init__(self, tuner: ThreadTuner | None):
        self.tuner = tuner
        self._fewest_losses = 0

    def on_train_batch_start(self, *_: object) -> None:
        self._start = time.perf_counter()

    def on_train_batch_end(self, trainer: pl.Trainer, module: StyleGAN2, *_: object) -> None:
        if self.tuner is None or module.device.type != "cpu" or trainer.world_size > 1:
            return
        losses = len(module.losses)
        if self._fewest_losses == 0 or losses < self._fewest_losses:
            self._fewest_losses = losses
            self.tuner.start_trial()
        if losses == self._fewest_losses:
            self.tuner.record(time.perf_counter() - self._start)

    def teardown(self, trainer: pl.Trainer, module: StyleGAN2, stage: str) -> None:
        if self.tuner is not None:
            self.tuner.restore()


class LossLogger(pl.Callback):
    """Logs one row of numbers every `every_kimg` thousand images.

    A row holds the speed and the mean of each loss and statistic over the iterations that computed it since the
    previous row. A penalty that none of them computed is left out. A checkpoint holds the values since the last
    row, so a resumed run writes the same rows as an uninterrupted one.

    Args:
        every_kimg: Thousands of images between two rows.
        dataset: The images, if rows should tell what D says about those that are held out.
    """

    def __init__(self, every_kimg: float, dataset: ImageDataset | None = None):
        self.every, self.dataset = every_kimg * 1000, dataset
        self._values: dict[str, list[Tensor]] = defaultdict(list)

    def state_dict(self) -> dict[str, Tensor]:
        return {name: torch.stack(values) for name, values in self._values.items()}

    def load_state_dict(self, state_dict: dict[str, Tensor]) -> None:
        for name, values in state_dict.items():
            self._values[name] = list(values)

    def on_train_start(self, trainer: pl.Trainer, module: StyleGAN2) -> None:
        for values in self._values.values():
            values[:] = [value.to(module.device) for value in values]
        for logger in trainer.loggers:
            if isinstance(logger, CSVLogger) and trainer.is_global_zero:
                logger.forget_after(module.images / 1000)
        self._start_clock(module)

    def _start_clock(self, module: StyleGAN2) -> None:
        self._time, self._images = time.perf_counter(), module.images

    def on_train_batch_end(self, trainer: pl.Trainer, module: StyleGAN2, *_: object) -> None:
        for name, value in (module.losses | module.statistics).items():
            self._values[name].append(value)
        if passed(module, self.every):
            module.loss_check.check()
            values = {name: torch.stack(values).mean().item() for name, values in self._values.items()}
            values |= self._of_held_out(trainer, module, values)
            seconds = time.perf_counter() - self._time
            for regularizer in module.regularizers.values():
                values |= {name: getattr(module, name).item() for name in regularizer.state}
            values |= {name: value.item() for name, value in module.augmentation.statistics().items()}
            values["kimg_per_second"] = (module.images - self._images) / 1000 / seconds
            if module.device.type == "cuda":
                values["gpu_gb"] = torch.cuda.max_memory_allocated(module.device) / 1e9
            head = {"kimg": module.images / 1000, "iteration": module.iteration}
            for logger in trainer.loggers:
                logger.log_metrics(head | values, step=module.images)
            self._values.clear()
            self._start_clock(module)

    def _of_held_out(
        self, trainer: pl.Trainer, module: StyleGAN2, means: dict[str, float]
    ) -> dict[str, float]:
        if self.dataset is None or not trainer.is_global_zero:
            return {}
        size = module.batch_per_device or module.batch // trainer.world_size
        logits = held_out_logits(module, self.dataset, size)
        if logits is None:
            return {}
        reals, fakes = logits
        row = {
            "logits_held_out": reals.mean().item(),
            "loss_d_held_out": module.loss.discriminator(fakes, reals).item(),
            "auc_held_out": area_under_curve(reals, fakes),
        }
        r_v = overfitting(means["logits_real"], means["logits_fake"], row["logits_held_out"])
        return row | ({} if r_v is None else {"r_v": r_v})


def kimg_name(module: StyleGAN2) -> str:
    """The base name of a file that a run writes now, such as kimg00123.424. Names sort by age."""
    return f"kimg{module.images / 1000:09.3f}"


def passed(module: StyleGAN2, every: float) -> bool:
    """Whether the latest iteration crossed a multiple of `every` images."""
    return every > 0 and module.images // every > (module.images - module.batch) // every
