"""Lightning callbacks of a run: progress bar, logging, sample grids and checkpoints."""

from __future__ import annotations

import math
import time
from collections import defaultdict
from pathlib import Path

import pytorch_lightning as pl
import torch
from torch import Tensor
from tqdm import tqdm

from stylegan2.data import ImageDataset
from stylegan2.images import grid, save_png

from . import checkpoint
from .loggers import CSVLogger, log_image
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
        if _passed(module, self.every):
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


class Samples(pl.Callback):
    """Writes a grid of images from the same latents every `every_kimg` thousand images.

    Files are named like kimg00123.424.png. If the network has classes, each row of the grid shows one class.
    reals.png in the same folder shows training images.

    Args:
        folder: Folder for the PNG files.
        every_kimg: Thousands of images between two grids. 0: only at the start and the end.
        dataset: Training images.
        seed: Seed of the latents and of the choice of training images.
        psi: Truncation.
    """

    def __init__(self, folder: Path, every_kimg: float, dataset: ImageDataset, seed: int, psi: float = 1.0):
        self.folder, self.every, self.dataset, self.seed, self.psi = (
            folder,
            every_kimg * 1000,
            dataset,
            seed,
            psi,
        )

    def on_train_start(self, trainer: pl.Trainer, module: StyleGAN2) -> None:
        if not trainer.is_global_zero:
            return
        g = module.generator
        columns, rows = grid_size(g.resolution)
        random = torch.Generator().manual_seed(self.seed)
        self._z = torch.randn(columns * rows, g.z_dim, generator=random)
        picked = torch.randperm(self.dataset.num_images, generator=random)[: columns * rows].tolist()
        reals, labels = self.dataset[picked]
        if g.num_classes == labels.shape[1] and g.num_classes:
            self._c = torch.eye(g.num_classes)[torch.arange(len(self._z)) // columns % g.num_classes]
        else:
            self._c = torch.zeros(len(self._z), g.num_classes)
        self._columns = columns
        save_png(grid(reals, columns), self.folder / "reals.png")
        if module.images == 0:
            self._write(trainer, module)

    def on_train_batch_end(self, trainer: pl.Trainer, module: StyleGAN2, *_) -> None:
        if trainer.is_global_zero and _passed(module, self.every):
            self._write(trainer, module)

    def on_train_end(self, trainer: pl.Trainer, module: StyleGAN2) -> None:
        if trainer.is_global_zero:
            self._write(trainer, module)

    def path(self, module: StyleGAN2) -> Path:
        return self.folder / f"{kimg_name(module)}.png"

    @torch.no_grad()
    def _write(self, trainer: pl.Trainer, module: StyleGAN2) -> None:
        network, images = module.sampling_generator, []
        training = network.training
        network.eval()
        for z, c in zip(self._z.split(16), self._c.split(16)):
            z, c = z.to(module.device, module.dtype), c.to(module.device, module.dtype)
            images.append(network(z, c, psi=self.psi, noise="const").cpu())
        network.train(training)
        image = grid(torch.cat(images), self._columns)
        save_png(image, self.path(module))
        log_image(trainer.loggers, "samples", image, module.images)


class Snapshots(pl.Callback):
    """Writes last.ckpt every `every_kimg` thousand images and at the end.

    Each write before the end also makes a copy that is named after the kimg.
    """

    def __init__(self, folder: Path, every_kimg: float):
        self.folder, self.every = folder, every_kimg * 1000

    def on_train_batch_end(self, trainer: pl.Trainer, module: StyleGAN2, *_) -> None:
        if _passed(module, self.every):
            self.write(trainer, module, numbered=True)

    def on_train_end(self, trainer: pl.Trainer, module: StyleGAN2) -> None:
        self.write(trainer, module, numbered=False)

    def write(self, trainer: pl.Trainer, module: StyleGAN2, numbered: bool) -> None:
        module.check_finite()
        also = self.folder / f"{kimg_name(module)}.ckpt" if numbered else None
        checkpoint.save(trainer, self.folder / "last.ckpt", also)


def kimg_name(module: StyleGAN2) -> str:
    """The base name of a file that a run writes now, such as kimg00123.424. Names sort by age."""
    return f"kimg{module.images / 1000:09.3f}"


def grid_size(resolution: int) -> tuple[int, int]:
    """(columns, rows) of a sample grid about 1,000 pixels wide, with at most 16 columns and 12 rows."""
    columns = min(16, max(4, 1024 // resolution))
    return columns, math.ceil(columns * 3 / 4)


def _passed(module: StyleGAN2, every: float) -> bool:
    """Whether the latest iteration crossed a multiple of `every` images."""
    return every > 0 and module.images // every > (module.images - module.batch) // every
