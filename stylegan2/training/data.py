"""The images of a run as Lightning takes them, and what a batch must be for training to split it."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytorch_lightning as pl
from torch import Tensor
from torch.utils.data import DataLoader

from stylegan2.data import ImageDataset
from stylegan2.errors import InputError


class TrainingData(pl.LightningDataModule):
    """The images in the order of one seed, from where the module's image counter stands.

    Batches end when they can no longer be read, as when the system kills a process that decodes images, or when
    `stop_waiting` is called. They raise nothing, so that training can end as it always does.
    """

    def __init__(self, dataset: ImageDataset, batch: int, seed: int):
        super().__init__()
        self.dataset, self.batch, self.seed = dataset, batch, seed
        self.failure = ""
        """Why no more batches come."""
        self._is_waiting = False
        self._batches: Iterator[tuple[Tensor, Tensor]] | None = None

    def train_dataloader(self) -> Batches:
        return Batches(self)

    def _loader(self) -> DataLoader:
        world = self.trainer.world_size
        loader = self.dataset.loader(
            self.batch // world,
            seed=self.seed,
            rank=self.trainer.global_rank,
            world_size=world,
            start=self.trainer.lightning_module.images,
        )
        loader.worker_init_fn = loader.worker_init_fn or _leave_signals_to_training
        return loader

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
    """What Lightning takes for a data loader. Processes start when it is iterated over."""

    def __init__(self, data: TrainingData):
        self.data = data

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        return self.data.batches()


class _StopWaiting(Exception):
    """Training ends, and needs no more images."""


def _leave_signals_to_training(worker: int) -> None:
    """In a process that decodes images: it ends with the training process, and says nothing itself."""
    for name in ("SIGINT", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)


def check_batch(
    batch: int, batch_per_device: int | None, processes: int, group: int | None, images: int | None = None
) -> None:
    """Refuse, before anything starts, a batch that cannot be split evenly.

    Args:
        batch: Images in an iteration, over all processes.
        batch_per_device: Images in a micro-batch. None: all of a process's share.
        processes: Number of processes.
        group: Samples in a group of the minibatch stddev; None: all.
        images: The most images that a batch can have. None: any number.

    Raises:
        InputError: It cannot; names the nearest batch that can.
    """
    if _splits(batch, batch_per_device, processes, group):
        return
    size = batch_per_device or batch // processes
    if batch % (processes * (batch_per_device or 1)):
        problem = f"batch must be a multiple of {processes * (batch_per_device or 1)}"
    else:
        problem = (
            f"micro-batches of more than {group} images must be a multiple of {group}, the groups of the minibatch "
            f"stddev (model.discriminator.minibatch_group)"
        )
    raise InputError(
        f"batch is {batch}, to be split over {processes} process{'es' if processes > 1 else ''} in micro-batches of "
        f"{f'batch_per_device {batch_per_device}' if batch_per_device else size}: {problem}. "
        f"{_advice(batch, batch_per_device, processes, group, images)}"
    )


def _splits(batch: int, batch_per_device: int | None, processes: int, group: int | None) -> bool:
    size = batch_per_device or batch // processes
    if not size or batch % (processes * size):
        return False
    return group is None or size <= group or size % group == 0


def _advice(
    batch: int, batch_per_device: int | None, processes: int, group: int | None, images: int | None
) -> str:
    """The nearest batch that splits, with the same micro-batches if possible, or else with smaller ones."""
    most = images or 2 * batch + processes * (batch_per_device or group or 1)
    sizes = range(batch_per_device, 0, -1) if batch_per_device else [None]
    for size in sizes:
        fitting = [b for b in range(1, most + 1) if _splits(b, size, processes, group)]
        if fitting:
            nearest = min(fitting, key=lambda b: abs(b - batch))
            smaller = f" and --batch_per_device {size}" if size != batch_per_device else ""
            return f"Set --batch {nearest}{smaller}."
    return f"Set --devices to {images} or fewer."
