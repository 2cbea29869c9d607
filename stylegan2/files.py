"""Atomic replacement of files, room on the disk, and data as YAML and as tables."""

from __future__ import annotations

import csv
import json
import math
import os
import re
import shutil
import sys
import textwrap
import threading
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

import yaml

from stylegan2.errors import InputError

T = TypeVar("T")

LEFTOVER = re.compile(r"\..+\.\d+\.\d+\.tmp")
"""Temporary names that `replacing` uses. They contain the file's name and the ids of process and thread."""


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Context manager that yields a temporary path, whose file replaces `path` when the block ends.

    If the block raises, the temporary file is removed and `path` stays as it was. Missing parent folders are
    made. The content is flushed to disk before the file is renamed, so a power failure leaves either the old
    file or the new one.

    Raises:
        OSError: The folder cannot be written to, or the disk is full.
        FileNotFoundError: The block ended without writing the file.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}.tmp")
    try:
        yield temporary
        put_in_place(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def put_in_place(temporary: Path, path: Path) -> None:
    """Flush a file to disk and rename it, so that a power failure leaves either the old `path` or the new one."""
    with temporary.open("rb+") as file:
        os.fsync(file.fileno())
    os.replace(temporary, path)
    _flush_folder(path.parent)


def require_room(folder: str | Path, size: float, what: str) -> None:
    """Refuse to begin writing what the disk has no room for.

    Args:
        folder: Where it will be written. If it is missing, the disk is that of the nearest folder above it.
        size: About how many bytes it takes.
        what: What takes them, such as "60 frames".

    Raises:
        InputError: Fewer bytes are free.
    """
    folder = Path(folder).absolute()
    place = next((place for place in (folder, *folder.parents) if place.is_dir()), Path.cwd())
    if size > (free := shutil.disk_usage(place).free):
        raise InputError(
            f"Expected room for {what}, about {bytes_text(size)}, found {bytes_text(free)} free in "
            f"{printable(str(folder))}. Make room there, or name another place with --out."
        )


def with_room(
    pieces: Iterable[T], total: int, size: Callable[[T], float], folder: str | Path, what: str
) -> Iterator[T]:
    """Yield pieces of what is written, after the first of them that has a size has shown that all fit on the disk.

    Args:
        pieces: They are taken one after the other, and none is kept.
        total: Their number.
        size: About how many bytes a piece takes.
        folder: As for `require_room`.
        what: As for `require_room`.

    Raises:
        InputError: `total` times this size is more than is free.
    """
    one = 0.0
    for piece in pieces:
        if not one and (one := size(piece)):
            require_room(folder, total * one, what)
        yield piece


def bytes_text(number: float) -> str:
    """Bytes for people, such as "660 MB"."""
    units = (("TB", 1e12), ("GB", 1e9), ("MB", 1e6))
    unit, size = next(((u, s) for u, s in units if number >= s), ("kB", 1e3))
    return f"{number / size:.2g} {unit}" if number / size < 99.5 else f"{number / size:,.0f} {unit}"


def remove_leftovers(folder: str | Path) -> None:
    """Remove the temporary files of `replacing` that a killed process left in a folder or below it.

    Call this only while no other process writes there.
    """
    for path in Path(folder).rglob(".*.tmp"):
        if LEFTOVER.fullmatch(path.name) and path.is_file():
            path.unlink(missing_ok=True)


def write_text(path: str | Path, text: str) -> None:
    r"""Write a UTF-8 text file atomically. A file of that name is replaced.

    The name of a file may have bytes that are no UTF-8, which Python holds as surrogates. They are written as
    \udcff, so that every program can read the text. In JSON and `yaml_text` they are escaped in this way already.
    """
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace")


class Quoting(yaml.SafeDumper):
    """Puts text in quotes that some reader of YAML takes for a number: PyYAML itself does not know 1e3."""


Quoting.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?[\d_.]+[eE][-+]?\d+$"), list("-+.0123456789")
)


def yaml_text(data: object) -> str:
    """Nested dictionaries and lists of plain data as YAML, in their own order, with all text staying text."""
    return yaml.dump(data, Dumper=Quoting, default_flow_style=False, allow_unicode=True, sort_keys=False)


def cache_folder() -> Path | None:
    """The folder for what can be computed again: `STYLEGAN2_CACHE`, or `stylegan2` in the user's cache folder.

    None: the user has no home folder.
    """
    if folder := os.environ.get("STYLEGAN2_CACHE"):
        return Path(folder).expanduser()
    with suppress(RuntimeError):
        return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "stylegan2"
    return None


def safe_name(text: str, at_most: int = 80) -> str:
    """A text as part of a file name on any system, of at most so many bytes in UTF-8.

    Characters that Windows forbids, that cannot be printed, or that this system's file names cannot hold,
    become "_". The end has no dot and no space. Different texts may give the same name.
    """
    encoding = sys.getfilesystemencoding()
    text = unicodedata.normalize("NFC", text).encode(encoding, "replace").decode(encoding)
    text = "".join("_" if c in '<>:"/\\|?*' or not c.isprintable() else c for c in text)
    return text.encode()[:at_most].decode(errors="ignore").strip(" .")


def printable(text: str) -> str:
    """A text for a terminal: characters that cannot be printed, such as control characters, are escaped."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def class_table(names: Sequence[str]) -> str:
    """The numbers and names of classes for a terminal, such as "0 cats, 1 dogs", in lines of 100 characters.

    Names after the first 200 are counted. A class whose name is its number is left out.
    """
    named = [f"{k} {printable(name)}" for k, name in enumerate(names) if name != str(k)]
    more = f", ... and {len(named) - 200} more in this order" if len(named) > 200 else ""
    text = ", ".join(named[:200]) + more
    return textwrap.fill(text, 100, break_long_words=False, break_on_hyphens=False)


def text_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Format a table for a terminal, with its columns aligned by spaces."""
    widths = [max(map(len, column)) for column in zip(head, *rows)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in [head, *rows]
    )


def markdown_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Format a table in Markdown. A vertical bar inside a cell is escaped."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def json_text(data: object) -> str:
    """Data as JSON, with null in place of the numbers that JSON does not have: NaN and infinite ones."""
    return json.dumps(_finite(data), indent=1)


def _finite(data: object) -> object:
    if isinstance(data, dict):
        return {key: _finite(value) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [_finite(value) for value in data]
    return None if isinstance(data, float) and not math.isfinite(data) else data


def read_csv(path: Path) -> list[dict[str, str]]:
    """The rows of a table such as metrics.csv, or an empty list if the file does not exist."""
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _flush_folder(folder: Path) -> None:
    """Flush the new name to disk too. Windows cannot open folders and does not need this step."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
