"""The data set: it decodes, labels and checks images, caches them if they fit, and serves batches."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from pathlib import PurePosixPath
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset

from stylegan2.data.cache import SharedCache, shared_zeros
from stylegan2.data.checking import find_problems, listing, reason, usable_cpus
from stylegan2.data.crops import Point, Window, draw, read_focus
from stylegan2.data.decoding import EXTENSIONS, decode
from stylegan2.data.labels import read_labels
from stylegan2.data.loader import Loader
from stylegan2.data.options import DataOptions
from stylegan2.data.order import AllBut
from stylegan2.data.sampler import InfiniteSampler
from stylegan2.data.sources import Source, open_source
from stylegan2.data.sources.shards import Shards
from stylegan2.errors import InputError
from stylegan2.sizes import pair

CHECKED = 256
"""Images of shards that are decoded before training starts. Those who packed them have decoded all."""

MAY_BE_LOST = {"refuse": 0.01, "skip": 0.5}
"""The share of images that may become unreadable during training, by `DataOptions.unreadable`. One always may."""


class ImageDataset(Dataset[tuple[Tensor, Tensor]]):
    """The images and labels that `options` describe. `ImageData.open` makes a data set and checks it.

    Item i is (image, label): uint8 (C, H, W) in 0..255, and float32 (num_classes,). The label is a one-hot
    vector, a vector from dataset.json, or a vector of width 0. A list of N indices gives a batch with a
    leading dimension N. With random crops, batches of `InfiniteSampler` give those of their epochs, and other
    lists those of seed 0 and epoch 0. With `mirror`, item i + num_images is item i flipped horizontally. The next
    readable image, with its label, replaces one that has become unreadable since the check.

    Raises:
        InputError: The path or the labels do not fit the options, or there are no images.
    """

    def __init__(self, options: DataOptions):
        self.options = options
        self.shape = (options.channels, *pair(options.resolution))
        self.source = open_source(options.path)
        self.names: Sequence[str] = _images(self.source, options.path)
        self._labels = read_labels(options.classes, self.source, self.names, options.path)
        if options.focus and self.is_lazy:
            raise InputError("data.focus expects whole images, found shards. Give it to `stylegan2 pack`.")
        self._focus = read_focus(options.focus, self.names, options.path) if options.focus else {}
        fits = (
            SharedCache.size(len(self.names), self.shape) <= options.cache_gb * 1e9
            and options.crop != "random"
        )
        self._cache = SharedCache(len(self.names), self.shape) if fits else None
        self._lost = shared_zeros((len(self.names),), torch.bool)
        self.held_out: list[int] = []
        self._held_out: frozenset[int] = frozenset()

    @property
    def is_lazy(self) -> bool:
        """Whether there may be more images than a list in memory should hold, as in shards."""
        return isinstance(self.source, Shards)

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
    def num_lost(self) -> int:
        """The number of images that have become unreadable since the check."""
        return int(self._lost.sum())

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
        wanted = torch.tensor(index)
        if len(wanted) and not (wanted.min() >= 0 and wanted.max() < len(self)):
            raise IndexError(f"expected indices in 0..{len(self) - 1}, got {wanted.tolist()}")
        draws: list[Point | None] = [None] * len(index)
        if self.options.crop == "random":
            seed, epochs = getattr(index, "seed", 0), getattr(index, "epochs", [0] * len(index))
            draws = [draw(seed, epoch, i) for epoch, i in zip(epochs, index)]
        images, rows = self._images(wanted % self.num_images, draws)
        if self.options.mirror:
            flipped = wanted >= self.num_images
            images[flipped] = images[flipped].flip(-1)
        return images, self.labels(rows)

    def labels(self, index: Tensor | Sequence[int]) -> Tensor:
        """Return the labels of indices (N,), as float32 (N, num_classes), without reading images."""
        return self._labels[torch.as_tensor(index) % self.num_images]

    def window(self, row: int, draw: Point | None = None) -> Window:
        """Where an image is cut. `draw` is that of a random crop."""
        return Window(self._focus.get(self.names[row]), draw)

    def read(self, row: int, draw: Point | None = None) -> Tensor:
        """Decode one image into uint8 (C, H, W). `draw` is that of a random crop.

        Raises:
            InputError: It is unreadable.
        """
        name = self.names[row]
        try:
            return self._decode(self.source.read(name), self.window(row, draw))
        except Exception as error:  # PIL and zipfile raise a dozen kinds for damaged files
            raise InputError(
                f"Expected a readable image, found {name} in {self.options.path} damaged ({reason(error)}). "
                "Replace or remove it, or set unreadable=skip."
            ) from error

    def _images(self, rows: Tensor, draws: Sequence[Point | None]) -> tuple[Tensor, Tensor]:
        """Return the images of rows (n,) as a new uint8 (n, C, R, R), and the rows of the images that it has."""
        if self._cache is None:
            images, found = zip(*map(self._readable, rows.tolist(), draws))
            return torch.stack(images), torch.tensor(found)
        for k in (~self._cache.filled[rows]).nonzero().flatten().tolist():
            image, rows[k] = self._readable(int(rows[k]))
            self._cache.put(int(rows[k]), image)
        return self._cache.images[rows], rows

    def _readable(self, row: int, draw: Point | None = None) -> tuple[Tensor, int]:
        """Return the image of a row, or of the next row that is readable, and the number of that row."""
        for other in chain(range(row, self.num_images), range(row)):
            if not self._lost[other] and (other in self._held_out) == (row in self._held_out):
                try:
                    return self.read(other, draw), other
                except InputError as error:
                    self._lose(other, error)
        raise InputError(f"Expected a readable image in {self.options.path}, found none. Check the disk.")

    def _lose(self, row: int, error: InputError) -> None:
        """Continue without an image. Raises InputError if too many images are lost."""
        self._lost[row] = True
        limit = max(1, int(MAY_BE_LOST[self.options.unreadable] * self.num_images))
        if self.num_lost > limit:
            raise InputError(
                f"Expected at most {limit} of {self.num_images} images to become unreadable after the check, found "
                f"{self.num_lost}. The last: {error} Check the disk or the network, then go on with the run."
            ) from error
        warnings.warn(f"{error} Going on without it: {self.num_lost} images lost, {limit} may be.")

    def _decode(self, data: bytes, window: Window) -> Tensor:
        o = self.options
        return torch.from_numpy(decode(data, o.resolution, o.channels, o.max_pixels, o.crop, window))

    def scan(self, progress: bool = True) -> None:
        """Decode every file before training, and fill the cache if there is one. Warn of files that are left out.

        If `options.unreadable` is "skip", unreadable files and their labels are dropped with a warning.

        Raises:
            InputError: Some files are unreadable and `unreadable` is "refuse", or all files are unreadable.
        """

        def look_at(row: int) -> None:
            image = self._decode(self.source.read(self.names[row]), self.window(row))
            if self._cache is not None:
                self._cache.put(row, image)

        if self.is_lazy:
            self._check_some(look_at, progress)
            return
        self._tell_left_out()
        self.drop(find_problems(look_at, self.num_images, f"Reading {self.options.path}", progress))

    def _check_some(self, look_at: Callable[[int], None], progress: bool) -> None:
        """Check images that are spread evenly, and what the source can check quickly."""
        if isinstance(self.source, Shards):
            self.source.check()
        rows = range(0, self.num_images, -(-self.num_images // CHECKED))
        title = f"Reading {self.options.path}"
        problems = find_problems(lambda k: look_at(rows[k]), len(rows), title, progress)
        if problems:
            lines = [f"{self.names[rows[k]]}: {why}" for k, why in problems.items()]
            raise InputError(
                f"Expected readable images in {self.options.path}, found that {len(problems)} of {len(rows)} "
                f"that were tried cannot be read:\n{listing(lines)}\nPack the images again, or check the storage."
            )

    def drop(self, problems: Mapping[int, str]) -> None:
        """Continue without unreadable images, as `options.unreadable` says.

        Args:
            problems: Their rows, and why they cannot be read.

        Raises:
            InputError: Some files or folders are unreadable and `unreadable` is "refuse", or all files are.
        """
        path = self.options.path
        closed = getattr(self.source, "unreadable", {})
        if not problems and not closed:
            return
        what = [f"{len(problems)} of {self.num_images} images"] if problems else []
        what += [f"{len(closed)} folders"] if closed else []
        lines = [f"{name}/: {why}" for name, why in closed.items()]
        lines += [f"{self.names[row]}: {why}" for row, why in problems.items()]
        found = f"{' and '.join(what)} in {path} cannot be read:\n{listing(lines)}"
        if self.options.unreadable == "refuse" or len(problems) == self.num_images:
            advice = "Replace or remove them, or set unreadable=skip."
            raise InputError(f"Expected readable images, found that {found}\n{advice}")
        warnings.warn(f"Unreadable images are skipped. {found}")
        self.keep([row for row in range(self.num_images) if row not in problems])

    def _tell_left_out(self) -> None:
        """Warn of files that are not used: files of other types, and what the source has left out."""
        images = set(self.names)
        others = [name for name in self.source.names if name not in images and name != "dataset.json"]
        lines = [f"{name or '.'}: {why}" for name, why in getattr(self.source, "left_out", {}).items()]
        if others:
            lines.insert(0, f"{len(others)} files of other types: {_kinds(others)}")
        if self._focus and (middle := self.num_images - len(self._focus)):
            warnings.warn(
                f"{middle} images have no point in {self.options.focus}. They are cropped in the middle."
            )
        if lines:
            warnings.warn(f"Left out of {self.options.path}:\n{listing(lines)}")

    def require(self, minimum: int) -> None:
        """Raise InputError if there are fewer images than `minimum`."""
        if self.num_images < minimum:
            raise InputError(
                f"Expected at least {minimum} images in {self.options.path}, found {self.num_images}. "
                "Add images, or choose options that need fewer, such as a smaller batch."
            )

    def hold_out(self, rows: Sequence[int]) -> None:
        """Leave these images, and their mirror images, out of what `loader` serves from now on."""
        self.held_out, self._held_out = list(rows), frozenset(rows)

    def loader(self, batch: int, *, seed: int, rank: int = 0, world_size: int = 1, start: int = 0) -> Loader:
        """Make an endless loader of images uint8 (batch, C, R, R) and labels float32 (batch, num_classes).

        Images that are held out are not among them.

        The arguments are those of `InfiniteSampler`, which determines the order. The number of workers does
        not change it.
        """
        workers = self.options.workers
        if workers is None:
            workers = 0 if self.in_memory else min(8, max(1, usable_cpus() // world_size))
        held = [row + k * self.num_images for k in range(1 + self.options.mirror) for row in self._held_out]
        rows = AllBut(len(self), held) if held else range(len(self))
        sampler = InfiniteSampler(
            rows,
            batch=batch,
            seed=seed,
            rank=rank,
            world_size=world_size,
            start=start,
            in_memory=not self.is_lazy,
        )
        return Loader(self, sampler, batch, self.shape, self.num_classes, workers)

    def keep(self, rows: Sequence[int]) -> None:
        """Continue with these rows alone, given in ascending order."""
        self.names = [self.names[row] for row in rows]
        self._labels = self._labels.keep(rows)
        self._lost = self._lost[: len(rows)]
        if self._cache is not None:
            self._cache.keep(rows)

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_cache": None}  # a pickled copy decodes images itself


def _images(source: Source, path: str) -> Sequence[str]:
    """Return the names of the images of a source. Raises InputError if there are none."""
    if isinstance(source, Shards) and source.names:
        return source.names
    names = [name for name in source.names if name.lower().endswith(EXTENSIONS)]
    if not names:
        found = _kinds(source.names) or "no files"
        if closed := getattr(source, "unreadable", {}):
            found += f", and {len(closed)} folders that cannot be read"
        raise InputError(
            f"Expected images ({' '.join(EXTENSIONS)}) in {path}, found {found}. Check the path, or convert "
            "the images."
        )
    return names


def _kinds(names: Sequence[str]) -> str:
    """How many names have which extension, the most frequent first: 2 .gif, 1 .txt."""
    kinds = Counter(PurePosixPath(name).suffix or "without extension" for name in names)
    return ", ".join(f"{count} {kind}" for kind, count in kinds.most_common(5))
