"""`stylegan2 pack`: converts a data set once to a zip of small PNGs, which every later run reads quickly."""

from __future__ import annotations

import io
import json
import re
import struct
import zlib
from collections.abc import Sequence
from contextlib import closing, suppress
from dataclasses import astuple, dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Literal

import numpy as np
import PIL
from PIL import Image
from tqdm import tqdm

from stylegan2.data import ImageData, ImageDataset
from stylegan2.data.checking import reason, usable_cpus
from stylegan2.data.decoding import decode
from stylegan2.data.names import to_bytes
from stylegan2.data.partial_shards import PartialShards, folder
from stylegan2.data.partial_zip import PartialZip
from stylegan2.data.processes import in_order
from stylegan2.errors import InputError
from stylegan2.files import printable
from stylegan2.sizes import pair
from stylegan2.survey import Facts, Survey, examine
from stylegan2.survey.page import write_page

FORMAT = 1
"""Version of the partial zip's contents. Raise it when pack converts images in another way."""


def pack(
    source: str,
    out: str,
    resolution: int | tuple[int, int],
    channels: Literal[1, 3, 4] = 3,
    classes: Literal["none", "folders", "labels"] = "none",
    crop: Literal["center", "pad"] = "center",
    focus: str | None = None,
    unreadable: Literal["refuse", "skip"] = "refuse",
    max_pixels: int | None = None,
    report: str | None = None,
    workers: int | None = None,
    shards: str | None = None,
) -> None:
    """Write a folder or zip of images as a zip of PNGs, converted exactly as training would convert them.

    The zip keeps the folders. With `classes`, it also holds a dataset.json with the labels. An existing `out` is
    replaced when the new zip is complete. If pack is interrupted, the same command goes on where it stopped. A page
    shows what was found: modes, sizes, classes, duplicates, odd and unreadable files.

    Args:
        source: Folder or zip of images. "demo" stands for the set that comes with the package.
        out: The zip to write, or the folder of shards, in a folder that exists.
        resolution: Size of the images, as the option data.resolution of training: a side, or height,width.
        channels: 1 for gray images, 3 for RGB, 4 for RGBA.
        classes: "folders" makes a class of each top-level folder, "labels" reads the source's dataset.json.
        crop: "center" cuts off what is too much on two sides, "pad" adds margins.
        focus: JSON or CSV file of points that crops keep in view, as the option data.focus of training.
        unreadable: With unreadable files, "refuse" writes no zip and "skip" continues without them.
        max_pixels: The largest image that is read. By default it is limited by half of the memory.
        report: HTML page to write about the images. null: the zip's name with .html behind it.
        workers: Number of processes that convert images. null: one per CPU. It does not change the zip.
        shards: Size of shards, such as 256MB. `out` is then a folder of shards in the format of litdata, from which
            training reads also where it lies in object storage. For sets that are too large for one zip.

    Raises:
        InputError: `source` is not a usable data set, `out` is the source, or `out` cannot be written.
    """
    if workers is not None and workers < 1:
        raise InputError(f"Expected workers of 1 or more, found {workers}. Leave it out for one per CPU.")
    target, origin = Path(out).expanduser(), Path(source).expanduser()
    page = Path(report).expanduser() if report else target.with_name(f"{target.name}.html")
    size = bytes_of(shards) if shards else 0
    for file, what in ((target, "a folder of shards" if size else "a zip"), (page, "a page")):
        if size and file == target:
            is_taken = file.exists() and not (file / "index.json").is_file()  # other shards may be replaced
        else:
            is_taken = file.is_dir()
        if is_taken or not file.parent.is_dir() or file.resolve() == origin.resolve():
            raise InputError(
                f"Expected the name of {what} to write, in an existing folder and not the source itself, found "
                f"{file}. Choose another file."
            )
    if target.resolve() == page.resolve():
        raise InputError(f"Expected two files, found {out} both as out and as report. Choose another report.")
    dataset = ImageDataset(
        ImageData(
            source,
            resolution,
            channels=channels,
            crop=crop,
            focus=focus,
            classes=classes,
            unreadable=unreadable,
            max_pixels=max_pixels,
            cache_gb=0,
        )
    )
    if dataset.is_lazy:
        raise InputError(
            f"Expected images to pack, found shards in {source}, which are packed already. Name their source."
        )
    if unreadable == "refuse":
        dataset.drop({})  # folders that cannot be read are known already
    names = _png_names(dataset.names)

    def is_valid(row: int, note: Any) -> bool:
        return row < len(names) and note[:2] == [dataset.names[row], _stamp(dataset, dataset.names[row])]

    identity = _identity(dataset)
    opened = (
        PartialShards.open(target, size, identity | {"labels": _labels_digest(dataset)}, is_valid)
        if size
        else PartialZip.open(target, identity, is_valid)
    )
    with opened as partial:
        _convert(dataset, names, partial, workers or usable_cpus())
        survey = Survey(dataset, [_outcome(note) for note in partial.notes])
        for title, text in survey.lines(resolution):
            print(f"{title:<11}{printable(text)}")
        write_page(page, survey, resolution)
        print(f"{'Report':<11}{page}", flush=True)
        kept = [row for row, one in enumerate(survey.outcomes) if isinstance(one, Facts)]
        problems = {row: one for row, one in enumerate(survey.outcomes) if isinstance(one, str)}
        try:
            dataset.drop(problems)
        except InputError as error:
            raise InputError(
                f"{error}\nThe images that are done stay in {folder(target)}, from which pack goes on."
            ) from error
        if isinstance(partial, PartialShards):
            partial.finish(_about(dataset))
        else:
            none = classes == "none"
            partial.finish({} if none else {"dataset.json": _labels(dataset, [names[row] for row in kept])})


@dataclass(frozen=True)
class _Converter:
    """Makes the note and the PNG of an image, which is empty for an unreadable file."""

    dataset: ImageDataset

    def __call__(self, row: int) -> tuple[list[Any], bytes]:
        name = self.dataset.names[row]
        stamp = _stamp(self.dataset, name)
        try:
            facts, png = _png(self.dataset, row)
        except Exception as error:  # PIL and zipfile raise a dozen kinds for damaged files
            return [name, stamp, reason(error)], b""
        return [name, stamp, list(astuple(facts))], png


def _convert(
    dataset: ImageDataset, names: list[str], partial: PartialZip | PartialShards, workers: int
) -> None:
    """Convert the images that are not done yet, by processes, and record each."""
    done, total = len(partial.notes), len(names)
    if done:
        print(f"{done:,} of {total:,} images are done already.", flush=True)
    results = in_order(_Converter(dataset), range(done, total), workers)
    with closing(results):
        bar = tqdm(results, f"Writing {partial.target}", total, initial=done, unit="image")
        for row, (note, png) in enumerate(bar, done):
            label = _label(dataset, row) if png and isinstance(partial, PartialShards) else b""
            partial.add(note, names[row] if png else "", png, label)


def _stamp(dataset: ImageDataset, name: str) -> str:
    """A text that changes when a file is replaced, or an empty one."""
    with suppress(Exception):  # the file is gone, or its source has no stamps
        return dataset.source.stamp(name)  # type: ignore[attr-defined]
    return ""


def _png(dataset: ImageDataset, row: int) -> tuple[Facts, bytes]:
    """The facts about an image of the data set, and the image encoded as a PNG file."""
    o, name = dataset.options, dataset.names[row]
    data = dataset.source.read(name)
    pixels = decode(data, o.resolution, o.channels, o.max_pixels, o.crop, dataset.window(row))
    array = np.ascontiguousarray(pixels.transpose(1, 2, 0))
    buffer = io.BytesIO()
    Image.fromarray(array[:, :, 0] if o.channels == 1 else array).save(buffer, "PNG")
    return examine(name, data, pixels), buffer.getvalue()


def _outcome(note: Any) -> Facts | str:
    """The facts that a step has recorded, or why the file cannot be read."""
    what = note[2]
    if isinstance(what, str):
        return what
    return Facts(**dict(zip(Facts.__dataclass_fields__, [*what[:-1], tuple(what[-1])])))


def _identity(dataset: ImageDataset) -> dict[str, Any]:
    """What the images in the zip follow from, besides their files."""
    o = dataset.options
    return {
        "format": FORMAT,
        "pillow": PIL.__version__,
        "path": o.path,
        "size": list(pair(o.resolution)),
        "channels": o.channels,
        "crop": o.crop,
        "max_pixels": o.max_pixels,
        "focus": o.focus and [dataset.window(row).focus for row in range(dataset.num_images)],
    }


def _about(dataset: ImageDataset) -> dict[str, Any]:
    """What the index of shards says about the images."""
    o = dataset.options
    return {
        "size": list(pair(o.resolution)),
        "channels": o.channels,
        "num_classes": dataset.num_classes,
        "class_names": dataset.class_names,
    }


def _labels_digest(dataset: ImageDataset) -> int:
    """A checksum of all labels, which shards hold from the first chunk on."""
    checksum = zlib.crc32(json.dumps(dataset.class_names).encode())
    for start in range(0, dataset.num_images, 4096):
        rows = range(start, min(start + 4096, dataset.num_images))
        checksum = zlib.crc32(dataset.labels(rows).numpy().tobytes(), checksum)
    return checksum


def _label(dataset: ImageDataset, row: int) -> bytes:
    """The label of an image as shards store it: an int32 for a class, or float32."""
    label = dataset.labels([row])[0]
    return struct.pack("<i", int(label.argmax())) if dataset.class_names else label.numpy().tobytes()


def bytes_of(size: str) -> int:
    """Bytes from a text such as 256MB or 1GB, whose units are powers of 1000.

    Raises:
        InputError: It is another text, or less than 1 MB or more than 2 GB.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(MB|GB)", size.strip(), re.IGNORECASE)
    number = round(float(match[1]) * (10**6 if match[2].upper() == "MB" else 10**9)) if match else 0
    if not 10**6 <= number <= 2 * 10**9:
        raise InputError(f"Expected shards of 1MB to 2GB, such as 256MB, found {size}. Set such a size.")
    return number


def _labels(dataset: ImageDataset, names: list[str]) -> bytes:
    """A dataset.json for images under these names."""
    labels = dataset.labels(range(len(names)))
    values = labels.argmax(1) if dataset.class_names else labels
    return json.dumps({"labels": list(zip(names, values.tolist(), strict=True))}).encode()


def _png_names(names: Sequence[str]) -> list[str]:
    """The names with their suffix replaced by .png, or with .png appended if two would otherwise be equal."""
    # A zip holds UTF-8 alone, and \ in it would be read as /.
    names = [to_bytes(name).decode("utf-8", "replace").replace("\\", "_") for name in names]
    stems = [str(PurePosixPath(name).with_suffix("")) for name in names]
    return [f"{stem}.png" for stem in (stems if len(set(stems)) == len(names) else names)]
