"""The data module that feeds Lightning, and the check that a batch can be split evenly."""

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
    """Batches of images in the order of one seed, starting at the training module's image counter.

    Args:
        dataset: Images and labels.
        batch: Images per iteration, over all processes.
        seed: Seed of the order.
    """

    def __init__(self, dataset: ImageDataset, batch: int, seed: int):
        super().__init__()
        self.dataset, self.batch, self.seed = dataset, batch, seed

    @cached_property
    def identity(self) -> dict[str, Any]:
        """What a checkpoint stores about the images: path, number of images, and a digest.

        The digest covers the names of all images, and the files and labels of 16 of them.
        """
        data = self.dataset
        digest = hashlib.blake2b(digest_size=16)
        for name in data.names:
            digest.update(name.encode("utf-8", "surrogateescape") + b"\0")
        for row in range(0, data.num_images, -(-data.num_images // 16)):
            with suppress(Exception):  # a file that can no longer be read changes the digest
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
    """Check that a batch divides evenly into processes, micro-batches and minibatch-stddev groups.

    Args:
        batch: Images per iteration, over all processes.
        batch_per_device: Images per micro-batch. None: one micro-batch per process.
        processes: Number of processes.
        group: Samples per group of the minibatch stddev. None: no groups, or one group of all samples.

    Raises:
        InputError: It does not. The message says what to change.
    """
    size = batch_per_device or batch // processes
    if batch < 1 or size < 1 or batch % (processes * size):
        raise InputError(
            f"Expected a batch that {processes} process{'es' if processes > 1 else ''} can split evenly into "
            f"micro-batches of {size} images (batch_per_device), found batch {batch}. Set batch to a multiple of "
            f"{processes * max(size, 1)}."
        )
    if group is not None and size > group and size % group:
        raise InputError(
            f"Expected micro-batches that divide into minibatch-stddev groups of {group} images, found "
            f"micro-batches of {size}. Set batch_per_device to a multiple of {group}, or "
            f"model.discriminator.minibatch_group to a divisor of {size}."
        )
