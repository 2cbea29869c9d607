"""CIFAR-10 and CIFAR-100 as they are published for Python, in pickles that are read without executing them."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from stylegan2.data.checking import reason
from stylegan2.data.names import plain, printable
from stylegan2.data.sources import pack_command, sources
from stylegan2.errors import InputError
from stylegan2.pickles import UnsafePickle, read_pickle
from stylegan2.pickles.inert import Array

FOLDERS = ("cifar-10-batches-py", "cifar-100-python")
LABELS = {"batches.meta": ("labels", "label_names"), "meta": ("fine_labels", "fine_label_names")}
"""The file that names the classes, with the keys of the numbers and of the names. The first is CIFAR-10's."""
TRAINING = {"batches.meta": [f"data_batch_{k}" for k in range(1, 6)], "meta": ["train"]}


@sources.register("cifar")
class Cifar:
    """The images of CIFAR, which become PNGs in a folder for each class.

    The path is the folder of the pickles, whose training images are used, or one pickle, such as test_batch. The
    reader of pickles takes containers, text, numbers and arrays, and executes nothing. Other pickles are refused.

    Raises:
        InputError: A file is missing or damaged, or it is a pickle of something else.
    """

    def __init__(self, path: str):
        whole = Path(path)
        if whole.is_dir() and not _meta(whole):
            whole = next(whole / name for name in FOLDERS if _meta(whole / name))
        folder = whole if whole.is_dir() else whole.parent
        meta = _meta(folder)
        files = [folder / name for name in TRAINING[meta]] if whole.is_dir() else [whole]
        number, text = LABELS[meta] if meta else ("labels", "")
        classes = [plain(printable(str(name))) for name in _read(folder / meta, text)[text]] if meta else []
        self._images: dict[str, np.ndarray[Any, Any]] = {}
        for file in files:
            batch = _read(file, "data")
            images = _pixels(batch["data"], file)
            for k, (image, label) in enumerate(zip(images, _labels(batch, number, len(images), file))):
                name = classes[label] if 0 <= label < len(classes) else str(label)
                self._images[f"{name}/{file.name}-{k:05}.png"] = image
        self.names = sorted(self._images)

    @staticmethod
    def takes(path: str) -> bool:
        try:
            if os.path.isfile(path):
                with open(path, "rb") as file:
                    start = file.read(2)
                return start[:1] == b"\x80" and start[1] in range(2, 6)
            return bool(_meta(Path(path))) or any(_meta(Path(path, name)) for name in FOLDERS)
        except (OSError, IndexError):
            return False

    def read(self, name: str) -> bytes:
        file = io.BytesIO()
        Image.fromarray(self._images[name].transpose(1, 2, 0)).save(file, "PNG", compress_level=1)
        return file.getvalue()

    def stamp(self, name: str) -> str:
        """A sum of the image's pixels by their places."""
        pixels = self._images[name].astype(np.int64).flatten()
        return str(int((pixels * np.arange(1, len(pixels) + 1)).sum()))


def _meta(folder: Path) -> str:
    """The file that names the classes of a folder of CIFAR's, or an empty string."""
    return next(
        (name for name in LABELS if all((folder / file).is_file() for file in (name, TRAINING[name][0]))), ""
    )


def _read(file: Path, key: str) -> dict[str, Any]:
    """Read a pickled dictionary with text as keys, which has a certain key."""
    try:
        found = read_pickle(file)
    except UnsafePickle as error:
        raise InputError(
            f"Expected one of CIFAR's pickles, found that {file} is damaged or would execute something "
            f"({reason(error)}). {pack_command(file)}"
        ) from error
    except OSError as error:
        raise InputError(
            f"Expected one of CIFAR's pickles, found that {file} cannot be read ({reason(error)}). Extract "
            "the archive again."
        ) from error
    entries = found if isinstance(found, dict) else {}
    entries = {k.decode("latin-1") if isinstance(k, bytes) else k: v for k, v in entries.items()}
    if key not in entries:
        raise InputError(
            f"Expected one of CIFAR's pickles, with {key}, found another one in {file}, whose reading may execute "
            f"code. {pack_command(file)}"
        )
    return entries


def _pixels(data: Any, file: Path) -> np.ndarray[Any, Any]:
    """Images uint8 (N, 3, 32, 32)."""
    array = data.value if isinstance(data, Array) else None
    if array is None or array.dtype != np.uint8 or array.shape[1:] != (3072,) or not len(array):
        raise InputError(
            f"Expected CIFAR's images, an array of bytes (N, 3072), found something else in {file}. "
            f"{pack_command(file)}"
        )
    return array.reshape(-1, 3, 32, 32)


def _labels(batch: dict[str, Any], key: str, count: int, file: Path) -> Sequence[int]:
    labels = batch.get(key, batch.get("fine_labels", [0] * count))
    if type(labels) is not list or len(labels) != count or not all(type(label) is int for label in labels):
        raise InputError(
            f"Expected a class number for each of {count} images, found something else in {file}. Extract the "
            "archive again."
        )
    return labels
