"""The data set: it decodes, labels and checks images, caches them if they fit, and serves batches."""

from __future__ import annotations

import sys
import warnings
from collections import Counter
from collections.abc import Sequence
from pathlib import PurePosixPath

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from stylegan2.data.cache import SharedCache
from stylegan2.data.checking import find_problems, listing, reason, usable_cpus
from stylegan2.data.decoding import EXTENSIONS, check, decode
from stylegan2.data.labels import read_labels
from stylegan2.data.options import DataOptions
from stylegan2.data.sampler import InfiniteSampler
from stylegan2.data.sources import Source, open_source
from stylegan2.errors import InputError


class ImageDataset(Dataset):
    """The images and labels that `options` describe. `ImageData.open` makes a data set and checks it.

    Item i is (image, label): uint8 (C, R, R) in 0..255, and float32 (num_classes,). The label is a one-hot
    vector, a vector from dataset.json, or a vector of width 0. A list of N indices gives a batch with a
    leading dimension N. With `mirror`, item i + num_images is item i flipped horizontally.

    Raises:
        InputError: The path or the labels do not fit the options, or there are no images.
    """

    def __init__(self, options: DataOptions):
        self.options = options
        self.shape = (options.channels, options.resolution, options.resolution)
        self.source = open_source(options.path)
        self.names = _images(self.source, options.path)
        self._labels = read_labels(options.classes, self.source, self.names, options.path)
        fits = SharedCache.size(len(self.names), self.shape) <= options.cache_gb * 1e9
        self._cache = SharedCache(len(self.names), self.shape) if fits else None

    @property
    def num_images(self) -> int:
        """The number of images, without the flipped ones."""
        return len(self.names)

    @property
    def num_classes(self) -> int:
        """Width of a label: the number of classes, the length of the label vectors, or 0."""
        return self._labels.num_classes

    @property
    def class_names(self) -> list[str]:
        """The names of the classes, in the order of their numbers. Without classes, the list is empty."""
        return list(self._labels.class_names)

    @property
    def in_memory(self) -> bool:
        """Whether the cache holds every image."""
        return self._cache is not None and self._cache.full

    def __len__(self) -> int:
        return self.num_images * (1 + self.options.mirror)

    def __getitem__(self, index: int | Sequence[int]) -> tuple[Tensor, Tensor]:
        if not isinstance(index, Sequence):
            images, labels = self[[int(index)]]
            return images[0], labels[0]
        index = torch.tensor(index)
        if len(index) and not (index.min() >= 0 and index.max() < len(self)):
            raise IndexError(f"expected indices in 0..{len(self) - 1}, got {index.tolist()}")
        images = self._images(index % self.num_images)
        if self.options.mirror:
            flipped = index >= self.num_images
            images[flipped] = images[flipped].flip(-1)
        return images, self.labels(index)

    def labels(self, index: Tensor | Sequence[int]) -> Tensor:
        """Return the labels of indices (N,), as float32 (N, num_classes), without reading images."""
        return self._labels[torch.as_tensor(index) % self.num_images]

    def _images(self, rows: Tensor) -> Tensor:
        """Return the images of rows (n,) as a new uint8 (n, C, R, R), from the cache if there is one."""
        if self._cache is None:
            return torch.stack([self._read(row) for row in rows.tolist()])
        for row in rows[~self._cache.filled[rows]].tolist():
            self._cache.put(row, self._read(row))
        return self._cache.images[rows]

    def _read(self, row: int) -> Tensor:
        name = self.names[row]
        try:
            return self._decode(self.source.read(name))
        except Exception as error:  # PIL and zipfile raise a dozen kinds for damaged files
            raise InputError(
                f"Expected a readable image, found {name} in {self.options.path} damaged ({reason(error)}). "
                "Replace or remove it, or set unreadable=skip."
            ) from error

    def _decode(self, data: bytes) -> Tensor:
        return torch.from_numpy(decode(data, self.options.resolution, self.options.channels))

    def scan(self, progress: bool = True) -> None:
        """Check every file before training, and fill the cache if there is one.

        If `options.unreadable` is "skip", unreadable files and their labels are dropped with a warning.

        Raises:
            InputError: Some files are unreadable and `unreadable` is "refuse", or all files are unreadable.
        """

        def look_at(row: int) -> None:
            data = self.source.read(self.names[row])
            check(data) if self._cache is None else self._cache.put(row, self._decode(data))

        path = self.options.path
        problems = find_problems(look_at, self.num_images, f"Reading {path}", progress)
        if not problems:
            return
        lines = [f"{self.names[row]}: {why}" for row, why in problems.items()]
        found = f"{len(lines)} of {self.num_images} images in {path} cannot be read:\n{listing(lines)}"
        if self.options.unreadable == "refuse" or len(problems) == self.num_images:
            advice = "Replace or remove them, or set unreadable=skip."
            raise InputError(f"Expected readable images, found that {found}\n{advice}")
        warnings.warn(f"Unreadable images are skipped. {found}")
        self._keep([row for row in range(self.num_images) if row not in problems])

    def require(self, minimum: int) -> None:
        """Raise InputError if there are fewer images than `minimum`."""
        if self.num_images < minimum:
            raise InputError(
                f"Expected at least {minimum} images in {self.options.path}, found {self.num_images}. "
                "Add images, or choose options that need fewer, such as a smaller batch."
            )

    def loader(
        self, batch: int, *, seed: int, rank: int = 0, world_size: int = 1, start: int = 0
    ) -> DataLoader:
        """Make an endless loader of images uint8 (batch, C, R, R) and labels float32 (batch, num_classes).

        The arguments are those of `InfiniteSampler`, which determines the order. The number of workers does
        not change it.
        """
        workers = self.options.workers
        if workers is None:
            workers = 0 if self.in_memory else min(8, max(1, usable_cpus() // world_size))
        parallel = {"persistent_workers": True, "prefetch_factor": 4} if workers else {}
        if workers and sys.platform == "linux":
            # Workers share the cache only if they are forked, which is not the default from Python 3.14 on.
            parallel["multiprocessing_context"] = "fork"
        return DataLoader(
            self,
            sampler=InfiniteSampler(
                len(self), batch=batch, seed=seed, rank=rank, world_size=world_size, start=start
            ),
            batch_size=None,  # the data set gets whole lists of indices, which is faster than single ones
            num_workers=workers,
            pin_memory=torch.cuda.is_available(),
            **parallel,
        )

    def _keep(self, rows: Sequence[int]) -> None:
        self.names = [self.names[row] for row in rows]
        self._labels = self._labels.keep(rows)
        if self._cache is not None:
            self._cache.keep(rows)

    def __getstate__(self) -> dict:
        return self.__dict__ | {"_cache": None}  # a pickled copy decodes images itself


def _images(source: Source, path: str) -> list[str]:
    """Return the names of the images of a source. Raises InputError if there are none."""
    names = [name for name in source.names if name.lower().endswith(EXTENSIONS)]
    if not names:
        kinds = Counter(PurePosixPath(name).suffix or "without extension" for name in source.names)
        found = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common(5)) or "no files"
        raise InputError(
            f"Expected images ({' '.join(EXTENSIONS)}) in {path}, found {found}. Check the path, or convert "
            "the images."
        )
    return names
