"""A zip that is written in steps: what an interrupted process has written stays, and the next one goes on."""

from __future__ import annotations

import json
import os
import sys
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from stylegan2.errors import InputError
from stylegan2.files import put_in_place

DATE = (1980, 1, 1, 0, 0, 0)
"""Date of all entries, the earliest that zips know, so that equal contents give equal zips."""


class PartialZip:
    """A zip as far as it is written, and a journal with a line for every step.

    A step appends one file to the zip or none, and then a line to the journal. What a killed process has not
    recorded is cut off and done again. `OUT.partial` holds the zip and `OUT.partial.journal` the lines; both are
    gone when the zip is complete.

    Attributes:
        notes: The notes of the steps that are done, in order.
    """

    def __init__(self, target: Path, zip_file: IO[bytes], journal: IO[bytes], notes: list[Any]):
        self.target, self.notes = target, notes
        self._file, self._journal = zip_file, journal
        self._zip = zipfile.ZipFile(zip_file, "w")

    @classmethod
    @contextmanager
    def open(
        cls, target: Path, identity: dict[str, Any], is_valid: Callable[[int, Any], bool]
    ) -> Iterator[PartialZip]:
        """Go on with the zip of an interrupted process, or start one.

        Args:
            target: The zip to write.
            identity: What all contents follow from. A partial zip of another identity is started anew.
            is_valid: Whether a step can stay, by its number and its note. From the first that cannot on, all are
                cut off.

        Raises:
            InputError: Another process writes the same zip.
            OSError: The folder cannot be written to, or the disk is full.
        """
        part, journal_path = paths(target)
        with touched(journal_path) as journal, touched(part) as file:
            lock(journal, target)
            entries, notes = _recorded(journal, file, identity, is_valid)
            partial = cls(target, file, journal, notes)
            partial._zip.filelist.extend(entries)
            try:
                yield partial
            finally:
                with suppress(ValueError, OSError):  # the block has finished it, or the disk is full
                    partial._zip.close()

    def add(self, note: Any, name: str = "", data: bytes = b"", label: bytes = b"") -> None:
        """Record a step by its note, which JSON can hold. With a name, append a file to the zip.

        Its label is not used, since a zip has its labels in one file, which `finish` writes.
        """
        entry = None
        if name:
            info = _info(name)
            self._zip.writestr(info, data)
            entry = [name, info.header_offset, len(data), info.CRC]
            self._file.flush()
        line = json.dumps({"note": note, "entry": entry, "end": self._zip.start_dir})
        self._journal.write(line.encode() + b"\n")
        self._journal.flush()
        self.notes.append(note)

    def finish(self, last: dict[str, bytes]) -> None:
        """Append files, complete the zip, and put it in the place of the target."""
        for name, data in last.items():
            self._zip.writestr(_info(name), data)
        self._zip.close()
        self._file.close()
        part, journal = paths(self.target)
        put_in_place(part, self.target)
        self._journal.close()
        journal.unlink(missing_ok=True)


def paths(target: Path) -> tuple[Path, Path]:
    """The partial zip and its journal."""
    return tuple(target.with_name(f"{target.name}.partial{end}") for end in ("", ".journal"))  # type: ignore[return-value]


def _info(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name, DATE)
    info.create_system, info.external_attr = 3, 0o644 << 16
    return info


def touched(path: Path) -> IO[bytes]:
    """A file for reading and writing, which is made if there is none, and kept as it is otherwise."""
    return os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o666), "r+b")


def lock(journal: IO[bytes], target: Path) -> None:
    """Keep other processes away while this one lives. Windows has no such locks."""
    if sys.platform == "win32":
        return
    import fcntl

    try:
        fcntl.flock(journal, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        raise InputError(
            f"Expected to write {target} alone, found another process at work on it. Wait for it, or choose "
            "another file."
        ) from error


def _recorded(
    journal: IO[bytes], file: IO[bytes], identity: dict[str, Any], is_valid: Callable[[int, Any], bool]
) -> tuple[list[zipfile.ZipInfo], list[Any]]:
    """Entries and notes of the steps that are whole. Both files are cut off behind them."""
    head = json.dumps(identity, sort_keys=True).encode() + b"\n"
    entries: list[zipfile.ZipInfo] = []
    notes: list[Any] = []
    end = 0
    kept = len(head) if journal.readline() == head else 0
    if not kept:
        journal.seek(0)
        journal.truncate()
        journal.write(head)
        journal.flush()
        kept = len(head)
    journal.seek(kept)
    for line in journal:
        try:
            step = json.loads(line) if line.endswith(b"\n") else {}
            if not is_valid(len(notes), step["note"]):
                break
            if step["entry"]:
                entries.append(_entry(file, step["entry"], step["end"]))
        except (ValueError, KeyError, TypeError, OSError):  # a line or a file that is not whole
            break
        notes.append(step["note"])
        end, kept = step["end"], kept + len(line)
    journal.seek(kept)
    journal.truncate()
    file.seek(end)
    file.truncate()
    return entries, notes


def _entry(file: IO[bytes], recorded: list[Any], end: int) -> zipfile.ZipInfo:
    """An entry of a zip whose content ends at `end`. Raises ValueError if it is not whole."""
    name, offset, size, crc = recorded
    file.seek(end - size)
    data = file.read(size)
    if len(data) < size or zlib.crc32(data) != crc:
        raise ValueError(f"{name} is not whole")
    info = _info(name)
    info.header_offset, info.file_size, info.compress_size, info.CRC = offset, size, size, crc
    return info
