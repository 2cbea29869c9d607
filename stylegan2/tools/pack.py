"""Convert a data set once: one zip of small PNGs that every later run reads quickly."""

from __future__ import annotations

import io
import json
import os
import zipfile
from multiprocessing.pool import ThreadPool
from pathlib import Path, PurePosixPath
from typing import Literal

from PIL import Image
from tqdm import tqdm

from stylegan2.data.dataset import ImageDataset
from stylegan2.errors import InputError


def pack(
    source: str,
    out: str,
    resolution: int,
    channels: Literal[1, 3, 4] = 3,
    classes: Literal["none", "folders", "labels"] = "none",
    unreadable: Literal["refuse", "skip"] = "refuse",
) -> None:
    """Write a folder or zip of images as a zip of PNGs, converted as training would.

    Folders are kept; with classes, a dataset.json holds the labels. An existing `out` is replaced at the end.

    Args:
        source: Folder or zip of images; "demo" for the embedded set.
        out: The zip to write.
        resolution: Height and width of the images, a power of two in 4..1024.
        channels: 1 gray, 3 RGB, 4 RGBA.
        classes: "folders" makes a class of each top-level folder, "labels" reads the source's dataset.json.
        unreadable: Stop at unreadable files ("refuse") or go on without them ("skip").

    Raises:
        InputError: source is no usable data set, or `out` is the source or no place for a file.
    """
    target, origin = Path(out).expanduser(), Path(source).expanduser()
    if target.is_dir() or not target.parent.is_dir() or target.resolve() == origin.resolve():
        raise InputError(
            f"Expected the name of a zip to write, in an existing folder, found {out}. Name another file."
        )
    dataset = ImageDataset(
        source, resolution, channels=channels, classes=classes, unreadable=unreadable, cache_gb=0
    )
    dataset.scan()

    def png(row: int) -> bytes:
        image = dataset[row][0].movedim(0, -1).squeeze(-1).numpy()
        buffer = io.BytesIO()
        Image.fromarray(image).save(buffer, "PNG", optimize=True)
        return buffer.getvalue()

    names = _png_names(dataset.names)
    temporary = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        with zipfile.ZipFile(temporary, "w") as packed, ThreadPool() as pool:
            pngs = pool.imap(png, range(len(names)))
            for name, data in zip(names, tqdm(pngs, f"Writing {out}", len(names), unit="image"), strict=True):
                packed.writestr(name, data)
            if classes != "none":
                labels = dataset.labels(range(len(names)))
                values = labels.argmax(1) if dataset.class_names else labels
                pairs = list(zip(names, values.tolist(), strict=True))
                packed.writestr("dataset.json", json.dumps({"labels": pairs}))
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)


def _png_names(names: list[str]) -> list[str]:
    """The names with the ending .png instead of theirs, or after theirs if that would make two alike."""
    stems = [str(PurePosixPath(name).with_suffix("")) for name in names]
    return [f"{stem}.png" for stem in (stems if len(set(stems)) == len(names) else names)]
