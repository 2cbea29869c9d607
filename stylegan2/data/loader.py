"""Batches out of a data set, decoded by worker processes that may die and need no /dev/shm."""

from __future__ import annotations

import contextlib
import multiprocessing
import signal
import sys
import threading
import warnings
from collections.abc import Iterator, Sequence
from multiprocessing.util import Finalize
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler, get_worker_info
from torch.utils.data._utils import signal_handling

from stylegan2.data.cache import shared_zeros
from stylegan2.errors import InputError

PREFETCH = 4
"""Batches that each worker is ahead."""

SURVIVED = [getattr(signal, name) for name in ("SIGINT", "SIGHUP", "SIGUSR1") if hasattr(signal, name)]
"""Signals that workers ignore, since the main process acts on them."""

GROUP_SIGNALS = {*SURVIVED, signal.SIGTERM}
"""Signals that a terminal or a scheduler sends to a whole group of processes."""

FORK = sys.platform == "linux"
"""Whether workers are forked. Python 3.14 would not do so by itself, and the shared memory needs it."""


class Loader:
    """Batches (images, labels) of the indices that a sampler yields, in its order.

    A worker that dies ends the iteration within seconds, between two batches.

    Args:
        dataset: Gives a batch, (N, C, R, R) and (N, num_classes), for a list of N indices.
        sampler: Yields lists of `batch` indices.
        batch: Length of the lists.
        shape: Shape of an image, (C, R, R).
        num_classes: Width of a label.
        workers: Number of processes. 0: this one.

    Raises:
        InputError: On iteration: a worker has died, or too many images have become unreadable.
    """

    def __init__(
        self,
        dataset: Dataset[tuple[Tensor, Tensor]],
        sampler: Sampler[list[int]],
        batch: int,
        shape: Sequence[int],
        num_classes: int,
        workers: int,
    ):
        workers = workers if workers and _can_start() else 0
        self.slots = Slots(workers, batch, shape, num_classes) if workers and FORK else None
        self.pin = torch.cuda.is_available()
        options: dict[str, Any] = {}
        if workers:
            options = {"persistent_workers": True, "prefetch_factor": PREFETCH, "worker_init_fn": _outlive}
        if self.slots:
            options |= {"multiprocessing_context": "fork", "collate_fn": self.slots.put}
        self.batches: DataLoader[Any] = DataLoader(
            dataset,
            sampler=sampler,
            batch_size=None,  # the sampler's lists reach the data set whole: faster than item by item
            num_workers=workers,
            pin_memory=self.pin and not self.slots,
            **options,
        )

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        try:
            with _own_signals(), _signals_held_back():
                batches = iter(self.batches)
        except OSError as error:
            raise InputError(f"The workers cannot be started ({error}). Set data.workers 0.") from error
        # Python would wait for ever at its end: it ends workers by one SIGTERM, which they live through.
        Finalize(batches, _kill, [getattr(batches, "_workers", [])], exitpriority=0)
        while True:
            try:
                batch = next(batches)
            except StopIteration:
                return
            except InputError as error:  # a worker's comes with its traceback
                raise InputError(str(error).rpartition("InputError: ")[2].strip()) from None
            except RuntimeError as error:
                if "DataLoader worker" not in str(error):
                    raise
                raise InputError(
                    f"A process that decodes images has ended ({error}). Most often memory was short. Set fewer "
                    "data.workers, or 0."
                ) from error
            yield self.slots.take(batch, self.pin) if self.slots else batch


class Slots:
    """Memory through which forked workers hand over batches: a few slots for each.

    What goes through the pipe is the place of a batch alone. So /dev/shm is not needed, and a worker that dies
    leaves no half message behind. A worker reuses a slot after PREFETCH + 1 batches, and gets to know that it
    may begin with that one only after the batch in the slot has been taken.
    """

    def __init__(self, workers: int, batch: int, shape: Sequence[int], num_classes: int):
        self.images = shared_zeros((workers, PREFETCH + 1, batch, *shape), torch.uint8)
        self.labels = shared_zeros((workers, PREFETCH + 1, batch, num_classes), torch.float32)
        self._next = 0

    def put(self, batch: tuple[Tensor, Tensor]) -> tuple[int, int]:
        """In a worker: store a batch. Returns its place."""
        worker = get_worker_info()
        place = worker.id if worker else 0, self._next
        self._next = (self._next + 1) % (PREFETCH + 1)
        self.images[place], self.labels[place] = batch
        return place

    def take(self, place: tuple[int, int], pin: bool) -> tuple[Tensor, Tensor]:
        """In the main process: a copy of the batch at a place, in page-locked memory if `pin`."""
        images, labels = self.images[tuple(place)], self.labels[tuple(place)]
        return (images.pin_memory(), labels.pin_memory()) if pin else (images.clone(), labels.clone())


def _can_start() -> bool:
    """Whether there can be workers here. Their queues need semaphores, which live in /dev/shm."""
    try:
        multiprocessing.get_context("fork" if FORK else None).Lock()
        return True
    except OSError as error:
        warnings.warn(
            f"Images are read without workers, because they cannot be started here ({error}). In a container "
            "give it a writable /dev/shm."
        )
        return False


def _kill(workers: Sequence[multiprocessing.Process]) -> None:
    for worker in workers:
        if worker.is_alive():
            worker.kill()


def _outlive(worker: int) -> None:
    """Let a worker live through signals to the whole group of processes, until the main one has stopped.

    A second SIGTERM ends it. Workers also end by themselves once the main process is gone.
    """
    for number in SURVIVED:
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda number, frame: signal.signal(number, signal.SIG_DFL))
    if hasattr(signal, "pthread_sigmask"):  # what came since the worker was started is delivered now
        signal.pthread_sigmask(signal.SIG_UNBLOCK, GROUP_SIGNALS)


@contextlib.contextmanager
def _signals_held_back() -> Iterator[None]:
    """Hold signals to the whole group back while workers start. A worker lets them through in `_outlive`."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, GROUP_SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextlib.contextmanager
def _own_signals() -> Iterator[None]:
    """Undo that PyTorch raises from a signal handler when a worker dies, in the middle of anything.

    The death is found where the next batch is waited for, so the state of training is whole.
    """
    if not hasattr(signal, "SIGCHLD") or threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGCHLD)
    if getattr(before, "__module__", None) == signal_handling.__name__:  # of another loader
        before = signal.SIG_DFL
    try:
        yield
    finally:
        signal.signal(signal.SIGCHLD, before or signal.SIG_DFL)
