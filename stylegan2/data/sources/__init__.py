"""Sources of images. Each kind of place that can hold images has one file here."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from stylegan2.data.names import to_bytes
from stylegan2.errors import InputError
from stylegan2.registry import Registry


class Source(Protocol):
    """A place that holds image files. Its constructor opens it, and raises InputError if it is damaged.

    Several threads may call `read` at the same time. Worker processes are forked or get a pickled copy, so a
    source that keeps a file open must open it again in each process, as `zip.py` does.
    """

    def __init__(self, path: str): ...

    @property
    def names(self) -> Sequence[str]:
        """Names of all files, with "/" between folders. They may include files that are not images, such as
        dataset.json with the labels. The data set keeps their order, which must be the same in every run.

        A source may also have two dicts from names to reasons. `left_out` holds what it does not offer, and
        `unreadable` the folders that it cannot read. A list `hidden` may name what is no data. A method
        `stamp(name)` may return a text that changes with a file; `pack` then sees that one was replaced."""
        ...

    @staticmethod
    def takes(path: str) -> bool:
        """Return whether this kind of source can read `path`, the value of `data.path`. Must not raise."""
        ...

    def read(self, name: str) -> bytes:
        """Return the content of a file. Any exception means that the file is unreadable."""
        ...


sources: Registry[type[Source]] = Registry("source of images", __name__)

GENERAL = ("folder", "zip")
"""These sources are tried last, because another source may take folders or zips of a special kind."""


def pack_command(path: str | Path) -> str:
    """What to do with images in a form that is not read: the command that converts them from a folder."""
    out = f"{Path(path).stem or 'images'}.zip"
    return (
        "Let the program that wrote them, or another one that you trust, save the images as files in a folder, and "
        f"convert that: stylegan2 pack --source FOLDER --out {shlex.quote(out)} --resolution 256. Then give "
        f"--data.path {shlex.quote(out)}"
    )


def open_source(path: str | Path) -> Source:
    """Open `path` with the first registered source that takes it.

    Raises:
        InputError: No source takes the path, or the source is damaged.
    """
    path = os.fsdecode(to_bytes(os.path.expanduser(path)))  # so that a locale without ü opens für.zip
    for name in sorted(sources, key=lambda name: name in GENERAL):
        if sources[name].takes(path):
            return sources[name](path)
    if not os.path.exists(path):  # unlike Path.exists, which raises if a folder around may not be entered
        raise InputError(
            f"Expected a folder or zip of images, found nothing at {path}. Check the path. The current folder "
            f"is {Path.cwd()}."
        )
    raise InputError(f"Expected a folder or a zip of images, found the file {path}. Give its folder instead.")
