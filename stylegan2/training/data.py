"""The images of a run as Lightning takes them, and what a batch must be for training to split it."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from functools import cached_property
from typing import Any

import pytorch_lightning as pl
from torch.utils.data import DataLoader

from stylegan2.data import ImageDataset
from stylegan2.errors import InputError


class TrainingData(pl.LightningDataModule):
    """The images in the order of one seed, from where the module's image counter stands."""

    def __init__(self, dataset: ImageDataset, batch: int, seed: int):
        super().__init__()
        self.dataset, self.batch, self.seed = dataset, batch, seed

    @cached_property
    def identity(self) -> dict[str, Any]:
        """What a checkpoint remembers of the images: the path, their number, and a digest that tells sets apart.

        The digest is over the names of all images, and over the files and labels of 16 of them.
        """
        data = self.dataset
        digest = hashlib.blake2b(digest_size=16)
        for name in data.names:
            digest.update(name.encode("utf-8", "surrogateescape") + b"\0")
        for row in range(0, data.num_images, -(-data.num_images // 16)):
            with suppress(Exception):  # a file that has gone since the start makes another set
                digest.update(data.source.read(data.names[row]))
            digest.update(data.labels([row]).numpy().tobytes())
        return {"path": data.options.path, "images": data.num_images, "digest": digest.hexdigest()}

    def train_dataloader(self) -> DataLoader:
        world = self.trainer.world_size
        return self.dataset.loader(
            self.batch // world,
            seed=self.seed,
            rank=self.trainer.global_rank,
            world_size=world,
            start=self.trainer.lightning_module.images,
        )


def check_batch(batch: int, batch_per_device: int | None, processes: int, group: int | None) -> None:
    """Refuse, before anything starts, a batch that cannot be split evenly.

    Args:
        batch: Images in an iteration, over all processes.
        batch_per_device: Images in a micro-batch. None: all of a process's share.
        processes: Number of processes.
        group: Samples in a group of the minibatch stddev; None: all.

    Raises:
        InputError: It cannot.
    """
    size = batch_per_device or batch // processes
    if batch < 1 or size < 1 or batch % (processes * size):
        raise InputError(
            f"batch is {batch}, to be split over {processes} process{'es' if processes > 1 else ''} in "
            f"micro-batches of batch_per_device {size}: it must divide evenly. Set batch to a multiple of "
            f"{processes * max(size, 1)}."
        )
    if group is not None and size > group and size % group:
        raise InputError(
            f"each device takes {size} images at once, which minibatch-stddev groups of {group} do not "
            f"divide. Set batch_per_device to a multiple of {group}, or model.discriminator.minibatch_group "
            f"to a divisor of {size}."
        )
