"""`stylegan2 pack`: converts a data set once to a zip of small PNGs, which every later run reads quickly."""

from __future__ import annotations

import io
import json
import zipfile
from multiprocessing.pool import ThreadPool
from pathlib import Path, PurePosixPath
from typing import Literal

from tqdm import tqdm

from stylegan2.data import ImageData, ImageDataset
from stylegan2.data.names import to_bytes
from stylegan2.errors import InputError
from stylegan2.files import replacing
from stylegan2.images import to_picture


def pack(
    source: str,
    out: str,
    resolution: int | tuple[int, int],
    channels: Literal[1, 3, 4] = 3,
    classes: Literal["none", "folders", "labels"] = "none",
    crop: Literal["center", "pad"] = "center",
    unreadable: Literal["refuse", "skip"] = "refuse",
    max_pixels: int | None = None,
) -> None:
    """Write a folder or zip of images as a zip of PNGs, converted exactly as training would convert them.

    The zip keeps the folders. With `classes`, it also holds a dataset.json with the labels. An existing `out` is
    replaced when the new zip is complete.

    Args:
        source: Folder or zip of images. "demo" stands for the set that comes with the package.
        out: The zip to write, in a folder that exists.
        resolution: Size of the images, as the option data.resolution of training: a side, or height,width.
        channels: 1 for gray images, 3 for RGB, 4 for RGBA.
        classes: "folders" makes a class of each top-level folder, "labels" reads the source's dataset.json.
        crop: "center" cuts off what is too much on two sides, "pad" adds margins.
        unreadable: With unreadable files, "refuse" stops and "skip" continues without them.
        max_pixels: The largest image that is read. By default it is limited by half of the memory.

    Raises:
        InputError: `source` is not a usable data set, `out` is the source, or `out` cannot be written.
    """
    target, origin = Path(out).expanduser(), Path(source).expanduser()
    if target.is_dir() or not target.parent.is_dir() or target.resolve() == origin.resolve():
        raise InputError(
            f"Expected the name of a zip to write, in an existing folder and not the source itself, found {out}. "
            "Choose another file."
        )
    data = ImageData(
        source,
        resolution,
        channels=channels,
        crop=crop,
        classes=classes,
        unreadable=unreadable,
        max_pixels=max_pixels,
        cache_gb=0,
    )
    dataset = data.open()
    names = _png_names(dataset.names)
    with replacing(target) as temporary, zipfile.ZipFile(temporary, "w") as packed, ThreadPool() as pool:
        pngs = pool.imap(lambda row: _png(dataset, row), range(len(names)))
        for name, png in zip(names, tqdm(pngs, f"Writing {out}", len(names), unit="image"), strict=True):
            packed.writestr(name, png)
        if classes != "none":
            labels = dataset.labels(range(len(names)))
            values = labels.argmax(1) if dataset.class_names else labels
            pairs = list(zip(names, values.tolist(), strict=True))
            packed.writestr("dataset.json", json.dumps({"labels": pairs}))


def _png(dataset: ImageDataset, row: int) -> bytes:
    """An image of the data set, encoded as a PNG file."""
    buffer = io.BytesIO()
    to_picture(dataset.read(row)).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def _png_names(names: list[str]) -> list[str]:
    """The names with their suffix replaced by .png, or with .png appended if two would otherwise be equal."""
    # A zip holds UTF-8 alone, and \ in it would be read as /.
    names = [to_bytes(name).decode("utf-8", "replace").replace("\\", "_") for name in names]
    stems = [str(PurePosixPath(name).with_suffix("")) for name in names]
    return [f"{stem}.png" for stem in (stems if len(set(stems)) == len(names) else names)]
