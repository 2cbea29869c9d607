"""Images for training: the data set, the endless order of its images, and what the command line sets."""

from __future__ import annotations

import math
import mmap
import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from multiprocessing.pool import ThreadPool
from pathlib import Path
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler
from tqdm import tqdm

from stylegan2.data import image_files
from stylegan2.errors import InputError

DEMO = Path(__file__).parent.parent / "assets" / "demo.zip"
RESOLUTIONS = tuple(2**k for k in range(2, 11))


def to_float(images: Tensor) -> Tensor:
    """uint8 0..255 -> float32 -1..1, any shape."""
    return images.float() / 127.5 - 1


def to_uint8(images: Tensor) -> Tensor:
    """float -1..1 -> uint8 0..255, rounded, values outside clamped; any shape. The inverse of `to_float`."""
    return ((images.float() + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)


class ImageDataset(Dataset):
    """The images of a folder or zip at one resolution, with their labels.

    Item i is (image uint8 (C, R, R), label float32 (num_classes,)): one-hot, the vector of dataset.json, or
    of width 0. A list of indices gives one batch, with a leading N. Decoded images stay in memory shared by
    forked workers if the whole set fits into `cache_gb`.

    Args:
        path: Folder (nested or not) or zip of png, jpg, jpeg, webp or bmp files, or a folder in a zip
            (photos.zip/cats); "demo" for the embedded set.
        resolution: Height and width R, a power of two in 4..1024.
        channels: 1 gray, 3 RGB, 4 RGBA.
        classes: "folders" makes a class of each top-level folder, "labels" reads dataset.json.
        mirror: Double the set: item i + num_images is item i flipped horizontally.
        unreadable: What `scan` does about unreadable files: "refuse" raises, "skip" drops them.
        cache_gb: Largest set, decoded, that is kept in memory, in 10^9 bytes.

    Raises:
        InputError: path, resolution or labels are not as described.
    """

    def __init__(
        self,
        path: str | Path,
        resolution: int,
        *,
        channels: Literal[1, 3, 4] = 3,
        classes: Literal["none", "folders", "labels"] = "none",
        mirror: bool = False,
        unreadable: Literal["refuse", "skip"] = "refuse",
        cache_gb: float = 2.0,
    ):
        if resolution not in RESOLUTIONS:
            raise InputError(
                f"Expected a resolution that is a power of two from 4 to 1024, found {resolution}. "
                f"Set {min(RESOLUTIONS, key=lambda r: abs(r - resolution))}, for example."
            )
        if channels not in image_files.MODES:
            raise InputError(
                f"Expected 1 (gray), 3 (RGB) or 4 (RGBA) channels, found {channels}. Set one of these."
            )
        self.path, self.mirror, self.unreadable = path, mirror, unreadable
        self.shape = (channels, resolution, resolution)
        top, *inside = Path(path).parts or ("",)
        self.source = image_files.open_source(DEMO.joinpath(*inside) if top == "demo" else path)
        self.names = image_files.image_names(self.source, path)
        self.class_names: list[str] = []
        self._labels = torch.zeros(len(self.names), 0)
        if classes == "folders":
            self._labels, self.class_names = image_files.folder_labels(self.names, path)
        elif classes == "labels":
            self._labels, self.class_names = image_files.json_labels(self.source, self.names, path)

        self._pixels = self._filled = None
        size = len(self.names) * math.prod(self.shape)
        if size <= cache_gb * 1e9:
            # Anonymous shared memory: unlike /dev/shm, containers do not limit it to 64 MB.
            self._pixels = torch.frombuffer(mmap.mmap(-1, size), dtype=torch.uint8).view(-1, *self.shape)
            self._filled = torch.frombuffer(mmap.mmap(-1, len(self.names)), dtype=torch.bool)

    @property
    def num_images(self) -> int:
        """Images before mirroring."""
        return len(self.names)

    @property
    def num_classes(self) -> int:
        """Width of a label: classes, or the length of the label vectors; 0 without labels."""
        return len(self.class_names) or (self._labels.shape[1] if self._labels.ndim == 2 else 0)

    @property
    def in_memory(self) -> bool:
        """Whether every image has been decoded and kept."""
        return self._filled is not None and bool(self._filled.all())

    def __len__(self) -> int:
        return self.num_images * (1 + self.mirror)

    def __getitem__(self, index: int | Sequence[int]) -> tuple[Tensor, Tensor]:
        if not isinstance(index, Sequence):
            images, labels = self[[int(index)]]
            return images[0], labels[0]
        index = torch.tensor(index)
        if len(index) and not (index.min() >= 0 and index.max() < len(self)):
            raise IndexError(f"indices {index.tolist()} outside 0..{len(self) - 1}")
        rows = index % self.num_images
        if self._pixels is None:
            images = torch.stack([self._decode(row) for row in rows.tolist()])
        else:
            for row in rows[~self._filled[rows]].tolist():
                self._keep(row, self._decode(row))
            images = self._pixels[rows]
        if self.mirror:
            flipped = index >= self.num_images
            images[flipped] = images[flipped].flip(-1)
        return images, self.labels(index)

    def labels(self, index: Tensor | Sequence[int]) -> Tensor:
        """The labels alone: indices (N,) -> float32 (N, num_classes)."""
        labels = self._labels[torch.as_tensor(index) % self.num_images]
        return labels if labels.ndim == 2 else F.one_hot(labels, self.num_classes).float()

    def _decode(self, row: int) -> Tensor:
        name = self.names[row]
        try:
            return self._to_tensor(self.source.read(name))
        except Exception as error:  # PIL and zipfile raise a dozen kinds for damaged files
            raise InputError(
                f"Expected a readable image, found {name} in {self.path} damaged ({_reason(error)}). "
                "Replace or remove it, or set unreadable=skip."
            ) from error

    def _to_tensor(self, data: bytes) -> Tensor:
        return torch.from_numpy(image_files.decode(data, self.shape[1], self.shape[0]))

    def _keep(self, row: int, image: Tensor) -> None:
        self._pixels[row] = image
        self._filled[row] = True  # last, so that no other process reads half an image

    def scan(self, progress: bool = True) -> None:
        """Look at every file before training; fill the cache on the way if there is one.

        Raises InputError listing the unreadable files if `unreadable` is "refuse", or nothing else is left;
        drops them and their labels, with a warning, if it is "skip".
        """

        def problem(row: int) -> str | None:
            try:
                data = self.source.read(self.names[row])
                image_files.check(data) if self._pixels is None else self._keep(row, self._to_tensor(data))
            except Exception as error:  # reported below, whatever it is
                return _reason(error)
            return None

        with ThreadPool(_cpus()) as pool:
            bar = tqdm(
                pool.imap(problem, range(self.num_images), chunksize=8),
                f"Reading {self.path}",
                total=self.num_images,
                unit="image",
                disable=not progress,
                leave=False,
            )
            problems = list(bar)
        bad = [f"  {name}: {why}" for name, why in zip(self.names, problems, strict=True) if why]
        if not bad:
            return
        more = [f"  ... and {len(bad) - 20} more"] if len(bad) > 20 else []
        found = "\n".join(
            [f"{len(bad)} of {self.num_images} images in {self.path} cannot be read:", *bad[:20], *more]
        )
        if self.unreadable == "refuse" or len(bad) == self.num_images:
            advice = "Replace or remove them, or set unreadable=skip."
            raise InputError(f"Expected readable images, found that {found}\n{advice}")
        warnings.warn(f"Going on without them: {found}")
        self._drop([row for row, why in enumerate(problems) if not why])

    def _drop(self, keep: list[int]) -> None:
        """Keep these rows only, in place: the cache stays the same shared memory."""
        self.names = [self.names[row] for row in keep]
        self._labels = self._labels[keep]
        if self._pixels is not None:
            for new, old in enumerate(keep):
                self._pixels[new], self._filled[new] = self._pixels[old].clone(), self._filled[old].clone()
            self._pixels, self._filled = self._pixels[: len(keep)], self._filled[: len(keep)]

    def __getstate__(self) -> dict:
        return self.__dict__ | {"_pixels": None, "_filled": None}  # a pickled copy decodes for itself


class InfiniteSampler(Sampler[list[int]]):
    """An endless stream of image indices in batches, the same however often training was resumed.

    The stream is one permutation of 0..n-1 after another, each drawn from (seed, epoch) alone. All processes
    share it: step k covers positions from start + k·batch·world_size, of which rank r takes the r-th slice.

    Args:
        n: Length of the data set.
        batch: Images per process and step.
        seed: Integer in 0..2^64-1.
        rank: This process.
        world_size: Number of processes.
        start: Images that all processes together have consumed so far.
    """

    def __init__(self, n: int, *, batch: int, seed: int, rank: int = 0, world_size: int = 1, start: int = 0):
        self.n, self.batch, self.seed = n, batch, seed
        self.first, self.stride = start + rank * batch, batch * world_size
        self._epoch, self._order = -1, np.empty(0, dtype=np.int64)

    def __iter__(self) -> Iterator[list[int]]:
        position = self.first
        while True:
            yield [self.at(p) for p in range(position, position + self.batch)]
            position += self.stride

    def at(self, position: int) -> int:
        """The index at a position of the stream."""
        epoch, offset = divmod(position, self.n)
        if epoch != self._epoch:
            random = np.random.Generator(np.random.Philox(key=[self.seed, epoch]))
            self._epoch, self._order = epoch, random.permutation(self.n)
        return int(self._order[offset])


class ImageData:
    """The images to train on.

    Args:
        path: Folder or zip of images, or a folder in a zip (photos.zip/cats); "demo" for the 1,906 emoji that
            come with the package, in nine folders.
        resolution: Height and width images are resized to, a power of two in 4..1024.
        channels: 1 gray, 3 RGB, 4 RGBA.
        classes: "folders" makes a class of each top-level folder, "labels" reads dataset.json.
        mirror: Also show every image flipped horizontally.
        unreadable: Stop at unreadable files ("refuse") or go on without them ("skip").
        workers: Processes that decode images. By default none for images in memory, else one a CPU, up to 8.
        cache_gb: Keep decoded images in memory if all fit into this many gigabytes.
    """

    def __init__(
        self,
        path: str = "demo",
        resolution: int = 32,
        channels: Literal[1, 3, 4] = 3,
        classes: Literal["none", "folders", "labels"] = "none",
        mirror: bool = False,
        unreadable: Literal["refuse", "skip"] = "refuse",
        workers: int | None = None,
        cache_gb: float = 2.0,
    ):
        self.path, self.resolution, self.channels, self.classes = path, resolution, channels, classes
        self.mirror, self.unreadable, self.workers, self.cache_gb = mirror, unreadable, workers, cache_gb
        self.dataset: ImageDataset | None = None

    def open(self, minimum: int = 1, progress: bool = True) -> ImageDataset:
        """The data set, listed and scanned at the first call.

        Raises InputError if it cannot be used, or holds fewer than `minimum` images.
        """
        if self.dataset is None:
            dataset = ImageDataset(
                self.path,
                self.resolution,
                channels=self.channels,
                classes=self.classes,
                mirror=self.mirror,
                unreadable=self.unreadable,
                cache_gb=self.cache_gb,
            )
            dataset.scan(progress)
            self.dataset = dataset
        if self.dataset.num_images < minimum:
            raise InputError(
                f"Expected at least {minimum} images in {self.path}, found {self.dataset.num_images}. "
                "Add images, or ask for fewer (a smaller batch, for example)."
            )
        return self.dataset

    def loader(
        self, batch: int, *, seed: int, rank: int = 0, world_size: int = 1, start: int = 0
    ) -> DataLoader:
        """Endless batches: images uint8 (batch, C, R, R), labels float32 (batch, num_classes).

        The arguments are those of `InfiniteSampler`, which alone decides the order, whatever the workers.
        """
        dataset = self.open()
        workers = self.workers
        if workers is None:
            workers = 0 if dataset.in_memory else min(8, max(1, _cpus() // world_size))
        sampler = InfiniteSampler(
            len(dataset), batch=batch, seed=seed, rank=rank, world_size=world_size, start=start
        )
        # Forked, for the shared cache; Python 3.14 would not by default.
        parallel = {"persistent_workers": True, "prefetch_factor": 4} if workers else {}
        if workers and sys.platform == "linux":
            parallel["multiprocessing_context"] = "fork"
        return DataLoader(
            dataset,
            sampler=sampler,
            batch_size=None,  # the sampler's lists reach the data set whole: faster than item by item
            num_workers=workers,
            pin_memory=torch.cuda.is_available(),
            **parallel,
        )


def _cpus() -> int:
    """CPUs this process may use, which in a container can be fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _reason(error: Exception) -> str:
    return " ".join(str(error).split())[:120] or type(error).__name__
