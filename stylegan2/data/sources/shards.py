"""Shards: large files of packed images in the format of litdata, on a disk or in object storage."""

from __future__ import annotations

import hashlib
import json
import os
import struct
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any, NoReturn, overload

import numpy as np
import torch
from torch import Tensor

from stylegan2.data.checking import reason
from stylegan2.data.sources import sources
from stylegan2.errors import InputError

INDEX = "index.json"
KEY = "stylegan2"
"""Where the index says what images and labels are."""
RECENT = 8192
"""Labels that are remembered, since they come with their images."""


@sources.register("shards")
class Shards:
    """Shards that `stylegan2 pack --shards` wrote. The path is their folder, or its URL, such as s3://bucket/photos.

    The index lists chunks, not images. A chunk holds the number of its images, where each of them starts, and the
    images. Exactly the bytes of an image are read when it is needed, by two reads of its chunk, so nothing is
    downloaded in advance. URLs are opened by fsspec, with the package for their kind of storage.

    Raises:
        InputError: The index cannot be read, or the shards are not pack's.
    """

    lazy = True
    """Names and labels are made when they are asked for."""

    def __init__(self, path: str):
        self.path = path.rstrip("/")
        self._storage: tuple[int, Any] = (0, None)
        try:
            text = self._read(INDEX)
            index = json.loads(text)
            self.about: dict[str, Any] = index[KEY]
            self.files = [str(chunk["filename"]) for chunk in index["chunks"]]
            self.sizes = [int(chunk["chunk_bytes"]) for chunk in index["chunks"]]
            self.starts = np.cumsum([0, *(int(chunk["chunk_size"]) for chunk in index["chunks"])])
        except Exception as error:  # no index, another one, or no package for the storage
            raise InputError(
                f"Expected shards that `stylegan2 pack --shards` wrote, found that the {INDEX} of {path} cannot be "
                f"used ({reason(error)}). Check the path, or pack the images again."
            ) from error
        self.digest = hashlib.blake2b(text, digest_size=16).hexdigest()
        self.names = Names(int(self.starts[-1]))
        self._recent: OrderedDict[int, bytes] = OrderedDict()

    @staticmethod
    def takes(path: str) -> bool:
        if "://" in path:
            return True
        try:
            with open(os.path.join(path, INDEX), "rb") as file:
                return b'"chunks"' in file.read()
        except OSError:
            return False

    def read(self, name: str) -> bytes:
        row = self.names.row(name)
        label, image = self._item(row)
        self._recent[row] = label
        while len(self._recent) > RECENT:
            self._recent.pop(next(iter(self._recent)), None)
        return image

    def label(self, row: int) -> bytes:
        """The stored label of an image: an int32 or several float32."""
        return self._recent[row] if row in self._recent else self._item(row)[0]

    def check(self) -> None:
        """Raise InputError if a chunk on this disk is missing or has another size than the index says."""
        if "://" in self.path:
            return
        for file, size in zip(self.files, self.sizes):
            path = os.path.join(self.path, file)
            found = os.path.getsize(path) if os.path.isfile(path) else None
            if found != size:
                what = "none" if found is None else f"{found:,} bytes"
                raise InputError(f"Expected {path} of {size:,} bytes, found {what}. Copy the shards again.")

    def _item(self, row: int) -> tuple[bytes, bytes]:
        """The label and the image of a row."""
        chunk = int(np.searchsorted(self.starts, row, side="right")) - 1
        place = 4 + 4 * (row - int(self.starts[chunk]))
        start, end = struct.unpack("<II", self._read(self.files[chunk], place, place + 8))
        if not 0 < end - start <= self.sizes[chunk]:
            raise ValueError(f"{self.files[chunk]} is damaged")
        item = self._read(self.files[chunk], start, end)
        label, image = struct.unpack_from("<II", item)
        if 8 + label + image != len(item):
            raise ValueError(f"{self.files[chunk]} is damaged or cut off")
        return item[8 : 8 + label], item[8 + label :]

    def _read(self, file: str, start: int = 0, end: int | None = None) -> bytes:
        """Bytes of a file."""
        if "://" not in self.path:
            with open(os.path.join(self.path, file), "rb", buffering=0) as local:
                local.seek(start)
                return local.read(-1 if end is None else end - start)
        process, storage = self._storage
        if process != os.getpid():  # connections do not outlive a fork
            import fsspec

            options = {"skip_instance_cache": True} if process else {}
            storage, _ = fsspec.core.url_to_fs(self.path, **options)
            self._storage = os.getpid(), storage
        data: bytes = storage.cat_file(f"{self.path}/{file}", start=start or None, end=end)
        return data

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_storage": (0, None), "_recent": OrderedDict()}


class Names(Sequence[str]):
    """Names of n images, made from their numbers."""

    def __init__(self, n: int):
        self.n = n

    def __len__(self) -> int:
        return self.n

    @overload
    def __getitem__(self, row: int) -> str: ...
    @overload
    def __getitem__(self, row: slice) -> list[str]: ...
    def __getitem__(self, row: int | slice) -> str | list[str]:
        if isinstance(row, slice):
            return [self[k] for k in range(*row.indices(self.n))]
        if not 0 <= row < self.n:
            raise IndexError(f"expected a row in 0..{self.n - 1}, got {row}")
        return f"{row:012}.png"

    def row(self, name: str) -> int:
        """The inverse."""
        return int(name[:12])


class StoredLabels:
    """Labels that are read from shards when they are needed. It stands for `labels.Labels`."""

    def __init__(self, source: Shards):
        self.source = source
        self.class_names: list[str] = source.about.get("class_names", [])
        self.num_classes: int = source.about["num_classes"]

    def __getitem__(self, rows: Tensor | Sequence[int]) -> Tensor:
        """Labels of rows (n,), float32 (n, num_classes)."""
        stored = [self.source.label(row) for row in torch.as_tensor(rows).tolist()]
        labels = torch.zeros(len(stored), self.num_classes)
        for k, data in enumerate(stored):
            if self.class_names:
                labels[k, struct.unpack("<i", data)[0]] = 1
            else:
                labels[k] = torch.frombuffer(bytearray(data), dtype=torch.float32)
        return labels

    def keep(self, rows: Sequence[int]) -> NoReturn:
        """Shards are used as a whole. Raises InputError."""
        raise InputError("Expected to use shards as a whole, found a choice of images. Pack that choice.")
