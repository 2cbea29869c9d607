"""The data module that feeds Lightning, and the check that a batch can be split evenly."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import cached_property
from typing import TYPE_CHECKING, Any

import pytorch_lightning as pl
from torch import Tensor

from stylegan2.data import ImageDataset
from stylegan2.data.holdout import chosen_rows, share_of
from stylegan2.data.loader import Loader
from stylegan2.data.sources.shards import Names, Shards
from stylegan2.errors import InputError

if TYPE_CHECKING:
    from .module import StyleGAN2

from . import distributed


class TrainingData(pl.LightningDataModule):
    """Batches of images in the order of one seed, starting at the training module's image counter.

    Batches end when images can no longer be read, for example because the system has killed a process that decodes
    them, or when `stop_waiting` is called. No exception is raised, so that training ends and saves as usual.

    Args:
        dataset: Images and labels.
        module: The training module. It gives the batch, over all processes.
        seed: Seed of the order, and of the choice of the images that are held out.
        held_out: Names of the images that are held out, from a checkpoint. Empty: they are chosen, if the options of
            the data want any.

    Raises:
        InputError: Less than a batch is left for training.
    """

    def __init__(self, dataset: ImageDataset, module: StyleGAN2, seed: int, held_out: Sequence[str] = ()):
        super().__init__()
        self.dataset, self.module, self.seed = dataset, module, seed
        share = share_of(dataset.options.holdout)
        again = self._rows(held_out) if share else []
        dataset.hold_out(again or chosen_rows(dataset.num_images, share, seed, not dataset.is_lazy))
        if share and dataset.num_images - len(dataset.held_out) < module.batch:
            raise InputError(
                f"Expected at least {module.batch} images (batch) beside those held out, found {dataset.num_images} "
                f"images, {len(dataset.held_out)} of them held out. Set a smaller data.holdout or batch."
            )
        self.failure = ""
        """Why no more batches come."""
        self._is_waiting = False
        self._batches: Iterator[tuple[Tensor, Tensor]] | None = None

    def _rows(self, names: Sequence[str]) -> list[int]:
        """The rows of those of some images that are there."""
        known = self.dataset.names
        if isinstance(known, Names):
            return [row for row in map(known.row, names) if row < len(known)]
        row_of = {name: row for row, name in enumerate(known)} if names else {}
        return [row_of[name] for name in names if name in row_of]

    @cached_property
    def identity(self) -> dict[str, Any]:
        """What a checkpoint stores about the images: path, number of images, and a digest.

        The digest covers the names of all images (of shards: their index), and the files and labels of 16 of them.
        """
        data = self.dataset
        digest = hashlib.blake2b(digest_size=16)
        names = [data.source.digest] if isinstance(data.source, Shards) else data.names
        for name in names:
            digest.update(name.encode("utf-8", "surrogateescape") + b"\0")
        for row in range(0, data.num_images, -(-data.num_images // 16)):
            with suppress(Exception):  # a file that can no longer be read changes the digest
                digest.update(data.source.read(data.names[row]))
            digest.update(data.labels([row]).numpy().tobytes())
        return {"path": data.options.path, "images": data.num_images, "digest": digest.hexdigest()}

    @property
    def held_out(self) -> list[str]:
        """Names of the images that training leaves out, which a checkpoint stores."""
        return [self.dataset.names[row] for row in self.dataset.held_out]

    def train_dataloader(self) -> Batches:
        return Batches(self)

    def _loader(self) -> Loader:
        world = distributed.world_size()
        return self.dataset.loader(
            self.module.batch // world,
            seed=self.seed,
            rank=distributed.rank(),
            world_size=world,
            start=self.module.images,
        )

    def batches(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Images uint8 (n, C, R, R) and labels (n, num_classes), of this process's share of a batch."""
        self._batches = iter(self._loader())
        while True:
            try:
                self._is_waiting = True
                batch = next(self._batches)
                self._is_waiting = False
            except _StopWaiting:
                return
            except Exception as error:  # whatever it is, training must be saved
                self._is_waiting = False
                self.failure = str(error).strip() or type(error).__name__
                return
            yield batch

    def stop_waiting(self) -> None:
        """End the batches if training waits for one. For the handler of a signal."""
        if self._is_waiting:
            self._is_waiting = False
            raise _StopWaiting

    def teardown(self, stage: str) -> None:
        self._batches = None  # ends the processes that decode images


class Batches:
    """What Lightning takes for a data loader. The processes that decode images start when it is iterated over."""

    def __init__(self, data: TrainingData):
        self.data = data

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        return self.data.batches()


class _StopWaiting(Exception):
    """Training ends, and needs no more images."""


def check_batch(
    batch: int, batch_per_device: int | None, processes: int, group: int | None, images: int | None = None
) -> None:
    """Check that a batch divides evenly into processes, micro-batches and minibatch-stddev groups.

    Args:
        batch: Images per iteration, over all processes.
        batch_per_device: Images per micro-batch. None: one micro-batch per process.
        processes: Number of processes.
        group: Samples per group of the minibatch stddev. None: no groups, or one group of all samples.
        images: Number of images in the data set, which a batch cannot exceed. None: not known.

    Raises:
        InputError: It does not. The message names the nearest batch that does.
    """
    if divides(batch, batch_per_device, processes, group):
        return
    unit, over = processes * (batch_per_device or 1), f"{processes} process{'es' if processes > 1 else ''}"
    if batch % unit:
        micro = (
            f" with micro-batches of {batch_per_device} images (batch_per_device)" if batch_per_device else ""
        )
        problem = f"Expected a batch that is a multiple of {unit}, for {over}{micro}, found {batch}."
    else:
        problem = (
            f"Expected micro-batches of at most {group} images or a multiple of {group}, the group of the minibatch "
            f"stddev (model.discriminator.minibatch_group), found {batch_per_device or batch // processes} images: "
            f"batch {batch}, for {over}."
        )
    raise InputError(f"{problem} {_advice(batch, batch_per_device, processes, group, images)}")


def divides(batch: int, batch_per_device: int | None, processes: int, group: int | None) -> bool:
    """Whether a batch divides evenly, see `check_batch`."""
    size = batch_per_device or batch // processes
    if not size or batch % (processes * size):
        return False
    return group is None or size <= group or size % group == 0


def _advice(
    batch: int, batch_per_device: int | None, processes: int, group: int | None, images: int | None
) -> str:
    """The nearest batch that divides, with the same micro-batches if possible, and otherwise with smaller ones."""
    most = images or 2 * batch + processes * (batch_per_device or group or 1)
    sizes = range(batch_per_device, 0, -1) if batch_per_device else [None]
    for size in sizes:
        fitting = [b for b in range(1, most + 1) if divides(b, size, processes, group)]
        if fitting:
            nearest = min(fitting, key=lambda b: abs(b - batch))
            smaller = f" and --batch_per_device {size}" if size != batch_per_device else ""
            return f"Set --batch {nearest}{smaller}."
    return f"Set --devices to {images} or fewer."
