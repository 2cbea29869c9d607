"""The images as a data set: decoded, labeled, checked, kept in memory if they fit, and served in batches."""

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
    """The images and labels that options describe. `ImageData.open` makes one and checks it.

    Item i is (image uint8 (C, R, R), label float32 (num_classes,)). The label is one-hot, the vector of
    dataset.json, or of width 0. A list of N indices gives one batch, with a leading N. With `mirror`, item
    i + num_images is item i flipped horizontally.

    Raises:
        InputError: The path or the labels are not as the options say, or there are no images.
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
        """Images, without the flipped ones."""
        return len(self.names)

    @property
    def num_classes(self) -> int:
        """Width of a label: the number of classes, the length of the label vectors, or 0."""
        return self._labels.num_classes

    @property
    def class_names(self) -> list[str]:
        """Names of the classes by number. The list is empty without classes."""
        return list(self._labels.class_names)

    @property
    def in_memory(self) -> bool:
        """Whether every image has been decoded and kept."""
        return self._cache is not None and self._cache.full

    def __len__(self) -> int:
        return self.num_images * (1 + self.options.mirror)

    def __getitem__(self, index: int | Sequence[int]) -> tuple[Tensor, Tensor]:
        if not isinstance(index, Sequence):
            images, labels = self[[int(index)]]
            return images[0], labels[0]
        index = torch.tensor(index)
        if len(index) and not (index.min() >= 0 and index.max() < len(self)):
            raise IndexError(f"indices {index.tolist()} outside 0..{len(self) - 1}")
        images = self._images(index % self.num_images)
        if self.options.mirror:
            flipped = index >= self.num_images
            images[flipped] = images[flipped].flip(-1)
        return images, self.labels(index)

    def labels(self, index: Tensor | Sequence[int]) -> Tensor:
        """The labels alone: indices (N,) to float32 (N, num_classes)."""
        return self._labels[torch.as_tensor(index) % self.num_images]

    def _images(self, rows: Tensor) -> Tensor:
        """Rows (n,) to a new uint8 (n, C, R, R), out of the cache where there is one."""
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
        """Look at every file before training, and fill the cache on the way if there is one.

        With `unreadable` "skip", unreadable files and their labels are dropped with a warning.

        Raises:
            InputError: Files are unreadable and `unreadable` is "refuse", or nothing else is left.
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
        warnings.warn(f"Going on without them: {found}")
        self._keep([row for row in range(self.num_images) if row not in problems])

    def require(self, minimum: int) -> None:
        """Raise InputError if there are fewer images than `minimum`."""
        if self.num_images < minimum:
            raise InputError(
                f"Expected at least {minimum} images in {self.options.path}, found {self.num_images}. "
                "Add images, or ask for fewer (a smaller batch, for example)."
            )

    def loader(
        self, batch: int, *, seed: int, rank: int = 0, world_size: int = 1, start: int = 0
    ) -> DataLoader:
        """Batches without end: images uint8 (batch, C, R, R), labels float32 (batch, num_classes).

        The arguments are those of `InfiniteSampler`, which alone decides the order, whatever the workers.
        """
        workers = self.options.workers
        if workers is None:
            workers = 0 if self.in_memory else min(8, max(1, usable_cpus() // world_size))
        parallel = {"persistent_workers": True, "prefetch_factor": 4} if workers else {}
        if workers and sys.platform == "linux":
            parallel["multiprocessing_context"] = "fork"  # for the shared cache; Python 3.14 would not fork
        return DataLoader(
            self,
            sampler=InfiniteSampler(
                len(self), batch=batch, seed=seed, rank=rank, world_size=world_size, start=start
            ),
            batch_size=None,  # the sampler's lists reach the data set whole: faster than item by item
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
        return self.__dict__ | {"_cache": None}  # a pickled copy decodes for itself


def _images(source: Source, path: str) -> list[str]:
    """Names of the images of a source. Raises InputError if there are none."""
    names = [name for name in source.names if name.lower().endswith(EXTENSIONS)]
    if not names:
        kinds = Counter(PurePosixPath(name).suffix or "without extension" for name in source.names)
        found = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common(5)) or "no files"
        raise InputError(
            f"Expected images ({' '.join(EXTENSIONS)}) in {path}, found {found}. Check the path, or convert "
            "the images."
        )
    return names
