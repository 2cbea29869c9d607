"""Image files: where they lie (a folder or a zip), how they become pixels, which labels they carry."""

from __future__ import annotations

import io
import json
import math
import os
import threading
import zipfile
from collections import Counter
from pathlib import Path, PurePosixPath

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from stylegan2.errors import InputError

EXTENSIONS = (".png", ".jpg", ".jpeg", ".webp", ".bmp")
FORMATS = ("PNG", "JPEG", "WEBP", "BMP")  # PIL tries no other decoder, whatever a file calls itself
MODES = {1: "L", 3: "RGB", 4: "RGBA"}
REDUCING_GAP = 3.0
"""Cheap box filters shrink an image to this many times its final size; Lanczos does the rest. From 3 on the
result is as good as Lanczos alone."""


class Folder:
    """The files below a folder, named by their path from it."""

    def __init__(self, root: Path):
        self.root = root
        found = []
        for folder, folders, files in os.walk(root, followlinks=True):
            folders[:] = [name for name in folders if _visible(name)]
            below = Path(folder).relative_to(root)
            found += [(below / name).as_posix() for name in files if _visible(name)]
        self.names = sorted(found)

    def read(self, name: str) -> bytes:
        return (self.root / name).read_bytes()


class Zip:
    """The files of a zip, or of a folder in it, named by their path less one top folder that holds all.

    Each process opens the zip for itself, because forked ones would share one file position.
    """

    def __init__(self, path: Path, inside: str = ""):
        self.path = path
        self._lock, self._pid, self._file = threading.Lock(), None, None
        try:
            names = [name for name in self._open().namelist() if not name.endswith("/")]
        except (zipfile.BadZipFile, OSError) as error:
            raise InputError(
                f"Expected an intact zip, found that {path} cannot be read ({error}). Copy or pack it again."
            ) from error
        names = [name for name in names if all(map(_visible, name.split("/")))]
        tops = {name.partition("/")[0] if "/" in name else "" for name in names}
        self._top = f"{tops.pop()}/" if len(tops) == 1 and "" not in tops else ""
        if inside:
            full = any(name.startswith(f"{inside}/") for name in names)
            self._top = f"{inside}/" if full else f"{self._top}{inside}/"
            names = [name for name in names if name.startswith(self._top)]
        self.names = sorted(name[len(self._top) :] for name in names)

    def read(self, name: str) -> bytes:
        with self._lock:
            return self._open().read(self._top + name)

    def _open(self) -> zipfile.ZipFile:
        if self._pid != os.getpid():
            self._pid, self._file = os.getpid(), zipfile.ZipFile(self.path)
        return self._file

    def __getstate__(self) -> dict:
        return self.__dict__ | {"_lock": None, "_pid": None, "_file": None}

    def __setstate__(self, state: dict) -> None:
        self.__dict__.update(state, _lock=threading.Lock())


def _visible(name: str) -> bool:
    """False for hidden files and for the shadow entries macOS puts into its zips."""
    return not name.startswith(".") and name != "__MACOSX"


def open_source(path: str | Path) -> Folder | Zip:
    """The folder, the zip or the folder in a zip at `path`. Raises InputError if it is none of them."""
    path = Path(path).expanduser()
    if not path.exists():
        archive = next((parent for parent in path.parents if parent.suffix.lower() == ".zip"), None)
        if archive is not None and archive.is_file():
            return Zip(archive, path.relative_to(archive).as_posix())
        raise InputError(
            f"Expected a folder or zip of images, found nothing at {path}. Check the path, as seen from "
            f"{Path.cwd()}."
        )
    if path.is_dir():
        return Folder(path)
    if zipfile.is_zipfile(path) or path.suffix.lower() == ".zip":
        return Zip(path)
    raise InputError(f"Expected a folder or a zip of images, found the file {path}. Name its folder instead.")


def image_names(source: Folder | Zip, path: str | Path) -> list[str]:
    """The images of a source, sorted by name. Raises InputError if there are none."""
    names = [name for name in source.names if name.lower().endswith(EXTENSIONS)]
    if not names:
        kinds = Counter(PurePosixPath(name).suffix or "without extension" for name in source.names)
        found = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common(5)) or "no files"
        raise InputError(
            f"Expected images ({' '.join(EXTENSIONS)}) in {path}, found {found}. Check the path, or convert "
            "the images."
        )
    return names


def decode(data: bytes, resolution: int, channels: int) -> np.ndarray:
    """An image file's content as uint8 (channels, resolution, resolution), range 0..255.

    Turned upright (EXIF), converted (transparency shows white, unless alpha is kept), cropped to the centre
    square, resized: to no less than 3x the size by JPEG's own scaling and a box filter, the rest by Lanczos
    with antialiasing, alpha premultiplied. Raises whatever PIL raises on unreadable and truncated files.
    """
    with Image.open(io.BytesIO(data), formats=FORMATS) as image:
        coarse = math.ceil(REDUCING_GAP * resolution)
        image.draft(None, (coarse, coarse))
        image.load()
        ImageOps.exif_transpose(image, in_place=True)
        image = _convert(image, MODES[channels])
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    box = (left, top, left + side, top + side)
    image = image.resize((resolution, resolution), Image.Resampling.LANCZOS, box, REDUCING_GAP)
    return np.array(image).reshape(resolution, resolution, channels).transpose(2, 0, 1)


def _convert(image: Image.Image, mode: str) -> Image.Image:
    if image.mode.startswith("I"):  # 16-bit gray, which PIL's own conversion would clip at 255
        gray = np.clip(np.asarray(image, dtype=np.int64), 0, 65535)
        image = Image.fromarray(((gray + 128) // 257).astype(np.uint8))
    if "A" in image.getbands() or "transparency" in image.info:
        image = image.convert("RGBA")
        if mode != "RGBA":
            image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert(mode)


def check(data: bytes) -> None:
    """Raises what PIL raises if an image file is damaged or truncated; faster than decoding it."""
    with Image.open(io.BytesIO(data), formats=FORMATS) as image:
        if image.format == "PNG":
            image.verify()  # the checksums of all chunks, up to the end marker
        else:
            image.draft(None, (1, 1))  # a JPEG's bits are all read, but few pixels computed
            image.load()


def folder_labels(names: list[str], path: str | Path) -> tuple[Tensor, list[str]]:
    """Class numbers, int64 (N,), and class names from the top-level folders. Raises InputError."""
    loose = [name for name in names if "/" not in name]
    if loose:
        raise InputError(
            f"classes=folders expects every image of {path} in a class folder, found {len(loose)} outside "
            f"({loose[0]}). Move them into one, or set classes=none."
        )
    tops = [name.partition("/")[0] for name in names]
    classes = sorted(set(tops))
    if len(classes) < 2:
        raise InputError(
            f"classes=folders expects two folders or more in {path}, found only {classes[0]}. Name the "
            "folder that holds the class folders, or set classes=none."
        )
    number = {name: k for k, name in enumerate(classes)}
    return torch.tensor([number[top] for top in tops]), classes


def json_labels(source: Folder | Zip, names: list[str], path: str | Path) -> tuple[Tensor, list[str]]:
    """Labels of dataset.json: class numbers int64 (N,) and their names, or vectors float32 (N, D) and none.

    Raises InputError where the file is missing, malformed, or does not label exactly the images.
    """
    expected = 'classes=labels expects a top-level dataset.json, {"labels": [["folder/image.png", 3], ...]}'
    if "dataset.json" not in source.names:
        raise InputError(f"{expected}, found none in {path}. Write it, or set classes=folders or none.")
    try:
        pairs = json.loads(source.read("dataset.json"))["labels"]
        labels = {str(name): label for name, label in pairs} if pairs is not None else None
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{expected}, found something else in {path} ({error!r}). Mend it.") from error
    if labels is None:
        raise InputError(f"{expected}, found null labels in {path}. Add them, or set classes=none.")

    unknown = sorted(labels.keys() - set(names))
    missing = [name for name in names if name not in labels]
    for wrong, what in ((unknown, "labels of files that are not there"), (missing, "images without label")):
        if wrong:
            raise InputError(
                f"classes=labels expects one label an image, found {len(wrong)} {what} in {path} (first: "
                f"{wrong[0]}). Mend its dataset.json; its paths start at the folder it lies in, with '/'."
            )

    values = [labels[name] for name in names]
    if all(type(value) is int for value in values):
        found = sorted(set(values))
        if found != list(range(len(found))):
            raise InputError(
                f"classes=labels expects classes numbered 0, 1, 2, ... without gaps, found {_short(found)} "
                f"in the dataset.json of {path}. Number them again."
            )
        return torch.tensor(values), [str(k) for k in found]
    try:
        vectors = torch.tensor(values, dtype=torch.float32)
        valid = vectors.ndim == 2 and vectors.shape[1] > 0 and bool(vectors.isfinite().all())
    except (ValueError, TypeError):
        valid = False
    if not valid:
        raise InputError(
            "classes=labels expects all integers, or all lists of finite numbers of one length, found "
            f"{_short(values)} in the dataset.json of {path}. Make them alike."
        )
    return vectors, []


def _short(values: list) -> str:
    return ", ".join(map(str, values[:8])) + (", ..." if len(values) > 8 else "")
