"""Sources of images: one file for each kind of place where images lie."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from stylegan2.data.names import to_bytes
from stylegan2.errors import InputError
from stylegan2.registry import Registry


class Source(Protocol):
    """A place with image files. `Mine(path)` opens it and raises InputError if it is damaged.

    Several threads may call `read` at the same time. Worker processes are forked or get a pickled copy, so a
    source that holds a file open has to open it again in each process, as `zip.py` does.
    """

    names: Sequence[str]
    """Names of all files, with "/" between folders. Other files than images may be among them; dataset.json
    is where labels are looked for. The data set keeps the order of the names, which must be the same at every
    start. A source may also have `left_out` and `unreadable`: dicts from what it does not offer to the reason.
    The first are told, the second are unreadable files to the data set."""

    def __init__(self, path: str): ...

    @staticmethod
    def takes(path: str) -> bool:
        """Whether this kind of source reads what `data.path` says. It only looks, and raises nothing."""
        ...

    def read(self, name: str) -> bytes:
        """The content of a file. Any exception means that the file is unreadable."""
        ...


sources: Registry[type[Source]] = Registry("source of images", __name__)

GENERAL = ("folder", "zip")
"""These are asked last, since another source may take folders or zips of a special kind."""


def open_source(path: str | Path) -> Source:
    """Open what `path` names, by the first registered source that takes it.

    Raises:
        InputError: No source takes it, or it is damaged.
    """
    path = os.fsdecode(to_bytes(os.path.expanduser(path)))  # so that a locale without ü opens für.zip
    for name in sorted(sources, key=lambda name: name in GENERAL):
        if sources[name].takes(path):
            return sources[name](path)
    if not Path(path).exists():
        raise InputError(
            f"Expected a folder or zip of images, found nothing at {path}. Check the path, as seen from "
            f"{Path.cwd()}."
        )
    raise InputError(f"Expected a folder or a zip of images, found the file {path}. Name its folder instead.")
