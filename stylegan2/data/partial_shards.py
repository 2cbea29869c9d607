"""Shards that are written in steps: what an interrupted process has written stays, and the next one goes on."""

from __future__ import annotations

import json
import os
import shutil
import struct
import warnings
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from stylegan2.data.partial_zip import lock, touched
from stylegan2.errors import InputError
from stylegan2.files import write_text

JOURNAL = "journal"


class PartialShards:
    """A folder of shards as far as they are written, and a journal with a line for every chunk.

    A step appends an image to the next chunk or none. A chunk is written by litdata's writer once it is full, and
    then its line. What a killed process has not recorded is done again. `OUT.partial` is renamed when it is complete.

    Attributes:
        notes: The notes of the steps that are done, in order.
    """

    def __init__(self, target: Path, size: int, journal: IO[bytes], lines: list[dict[str, Any]]):
        from litdata.streaming.writer import BinaryWriter

        self.target, self.folder, self._journal, self._lines = target, folder(target), journal, lines
        self.notes: list[Any] = [note for line in lines for note in line["notes"]]
        self._pending: list[tuple[Any, bool]] = []
        self._count = 0
        self._writer = BinaryWriter(str(self.folder), chunk_bytes=size, chunk_index=len(lines))

    @classmethod
    @contextmanager
    def open(
        cls, target: Path, size: int, identity: dict[str, Any], is_valid: Callable[[int, Any], bool]
    ) -> Iterator[PartialShards]:
        """Go on with the shards of an interrupted process, or start them.

        Args:
            target: The folder to write.
            size: Bytes of a chunk.
            identity: What all contents follow from. Partial shards of another identity are started anew.
            is_valid: Whether a step can stay, by its number and its note.

        Raises:
            InputError: Another process writes the same shards, or the package litdata is missing.
            OSError: The folder cannot be written to, or the disk is full.
        """
        try:
            import litdata.streaming.writer  # noqa: F401
        except ImportError as error:
            raise InputError(
                "Expected the package litdata to write shards, found none. Install it: pip install "
                '"stylegan2[shards]"'
            ) from error
        folder(target).mkdir(exist_ok=True)
        with touched(folder(target) / JOURNAL) as journal:
            lock(journal, target)
            head = json.dumps(identity | {"shards": size}, sort_keys=True).encode() + b"\n"
            lines = _recorded(journal, folder(target), head, is_valid)
            yield cls(target, size, journal, lines)

    def add(self, note: Any, name: str = "", data: bytes = b"", label: bytes = b"") -> None:
        """Record a step by its note, which JSON can hold. With a name, append an image and its label."""
        self.notes.append(note)
        self._pending.append((note, bool(name)))
        if name:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)  # of an image that is larger than a chunk
                full = self._writer.add_item(self._count, (label, data))
            self._count += 1
            if full:
                self._record(Path(full))

    def finish(self, about: dict[str, Any]) -> None:
        """Complete the shards with their index, and put them in the place of the target.

        Args:
            about: What the index says about images and labels.
        """
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            for path in self._writer.done():
                self._record(Path(path))
        for leftover in self.folder.glob("*.index.json"):
            leftover.unlink()
        chunks, config = [line["chunk"] for line in self._lines], self._lines[-1]["config"]
        write_text(
            self.folder / "index.json",
            json.dumps({"chunks": chunks, "config": config, "stylegan2": about}, sort_keys=True),
        )
        (self.folder / JOURNAL).unlink()
        old = self.target.with_name(f"{self.target.name}.old")
        if self.target.exists():
            os.replace(self.target, old)
        os.replace(self.folder, self.target)
        shutil.rmtree(old, ignore_errors=True)

    def _record(self, path: Path) -> None:
        """Write the line of a chunk: the chunk, its checksum, and the notes up to its last image."""
        data = path.read_bytes()
        (count,) = struct.unpack_from("<I", data)
        images = last = 0
        while images < count:
            images += self._pending[last][1]
            last += 1
        line = {
            "chunk": {"chunk_bytes": len(data), "chunk_size": count, "dim": None, "filename": path.name},
            "crc": zlib.crc32(data),
            "config": self._writer.get_config(),
            "notes": [note for note, _ in self._pending[:last]],
        }
        self._pending = self._pending[last:]
        self._lines.append(line)
        self._journal.write(json.dumps(line).encode() + b"\n")
        self._journal.flush()


def folder(target: Path) -> Path:
    """The folder of the partial shards."""
    return target.with_name(f"{target.name}.partial")


def _recorded(
    journal: IO[bytes], partial: Path, head: bytes, is_valid: Callable[[int, Any], bool]
) -> list[dict[str, Any]]:
    """The lines of the chunks that are whole. The journal is cut off behind them, and other chunks are removed."""
    lines: list[dict[str, Any]] = []
    kept = len(head) if journal.readline() == head else 0
    if not kept:
        journal.seek(0)
        journal.truncate()
        journal.write(head)
        kept = len(head)
    journal.seek(kept)
    steps = 0
    for text in journal:
        try:
            line = json.loads(text) if text.endswith(b"\n") else {}
            if not all(is_valid(steps + k, note) for k, note in enumerate(line["notes"])):
                break
            if zlib.crc32((partial / line["chunk"]["filename"]).read_bytes()) != line["crc"]:
                break
        except (ValueError, KeyError, TypeError, OSError):  # a line or a file that is not whole
            break
        lines.append(line)
        steps, kept = steps + len(line["notes"]), kept + len(text)
    journal.seek(kept)
    journal.truncate()
    journal.flush()
    for file in {*partial.glob("*.bin")} - {partial / line["chunk"]["filename"] for line in lines}:
        file.unlink()
    return lines
