"""Sample grids: images of the same latents and labels, again and again during training."""

from __future__ import annotations

import math
from itertools import cycle
from pathlib import Path

import pytorch_lightning as pl
import torch

from stylegan2.data import ImageDataset
from stylegan2.images import grid, save_png
from stylegan2.sizes import pair

from .callbacks import kimg_name, passed
from .loggers import log_image
from .module import StyleGAN2
from .unwritten import going_on

MANY, TALL = 16 * 12, 4096
"""Most images of a grid, and most pixels from top to bottom where it needs many rows to show every class."""


class Samples(pl.Callback):
    """Writes a grid of images from the same latents every `every_kimg` thousand images.

    Files are named like kimg00123.424.png. reals.png in the same folder shows training images, whose labels the
    grids have too, each at the same place. Every class has as many images, or as many classes as fit have one.

    Args:
        folder: Folder for the PNG files.
        every_kimg: Thousands of images between two grids. 0: only at the start and the end.
        dataset: Training images.
        seed: Seed of the latents and of the choice of training images.
    """

    def __init__(self, folder: Path, every_kimg: float, dataset: ImageDataset, seed: int):
        self.folder, self.every, self.dataset, self.seed = folder, every_kimg * 1000, dataset, seed

    def on_train_start(self, trainer: pl.Trainer, module: StyleGAN2) -> None:
        if not trainer.is_global_zero:
            return
        g = module.generator
        self._columns, rows = grid_size(g.image_size, len(self.dataset.class_names))
        random = torch.Generator().manual_seed(self.seed)
        self._z = torch.randn(self._columns * rows, g.z_dim, generator=random)
        reals, self._c = self.dataset[balanced_images(self.dataset, len(self._z), random)]
        save_png(grid(reals, self._columns), self.folder / "reals.png")
        if module.images == 0:
            self._write(trainer, module)

    def on_train_batch_end(self, trainer: pl.Trainer, module: StyleGAN2, *_: object) -> None:
        if trainer.is_global_zero and passed(module, self.every):
            with going_on():
                self._write(trainer, module)

    def on_train_end(self, trainer: pl.Trainer, module: StyleGAN2) -> None:
        if trainer.is_global_zero:
            with going_on():  # the last checkpoint is written after this
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
            images.append(network(z, c, noise="const").cpu())
        network.train(training)
        image = grid(torch.cat(images), self._columns)
        save_png(image, self.path(module))
        log_image(trainer.loggers, "samples", image, module.images)


def grid_size(size: int | tuple[int, int], classes: int = 0) -> tuple[int, int]:
    """(columns, rows) of a sample grid about 1,000 pixels wide, with at most 16 columns and 12 rows.

    With classes, every class gets rows of its own where they fit. Otherwise there is an image of every class, or
    of as many as fit.
    """
    height, width = pair(size)
    columns = min(16, max(4, 1024 // width))
    rows = max(1, math.ceil(columns * width / height * 3 / 4))
    if classes:
        most = max(rows, min(TALL // height, MANY // columns))
        own = classes * max(1, rows // classes)
        rows = own if own <= most else max(rows, min(most, math.ceil(classes / columns)))
    return columns, rows


SEARCHED = 1_000
"""Images of shards among which those of a grid are chosen."""


def balanced_images(dataset: ImageDataset, count: int, random: torch.Generator) -> list[int]:
    """Random rows of the data set, `count` of them: class after class, as many of each as of the others.

    If there are more classes than `count`, some are left out evenly. If there are fewer images, they repeat.
    """
    if dataset.is_lazy and dataset.num_images > SEARCHED:  # random ones stand for all
        order = torch.randint(dataset.num_images, (SEARCHED,), generator=random)
    else:
        order = torch.randperm(dataset.num_images, generator=random)
    groups = [order]
    if dataset.class_names:
        classes = torch.cat([dataset.labels(rows).argmax(dim=1) for rows in order.split(1024)])
        sizes = classes.bincount()
        groups = list(order[classes.argsort(stable=True)].split(sizes[sizes > 0].tolist()))
    members = [cycle(group.tolist()) for group in groups]
    return [next(members[i * len(members) // count]) for i in range(count)]
