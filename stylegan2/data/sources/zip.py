"""A zip of image files, or a folder in it."""

from __future__ import annotations

import os
import threading
import zipfile
from pathlib import Path
from typing import Any

from stylegan2.data.checking import reason, require_room
from stylegan2.data.names import plain, visible
from stylegan2.data.sources import sources
from stylegan2.errors import InputError


@sources.register("zip")
class Zip:
    r"""The files of a zip, or of a folder in it such as photos.zip/cats.

    A file's name is its path in the zip. If one top folder holds everything, its name is left out. Zips from
    Windows may have \ instead of /, and others ./ in front of names. Each process opens the zip again, because
    forked processes would share one file position.

    Raises:
        InputError: The zip cannot be read, or two of its names are spellings of one.
    """

    def __init__(self, path: str):
        self.path, inside = _split(path)
        self._lock, self._pid = threading.Lock(), 0
        self._file: zipfile.ZipFile | None = None
        try:
            infos = self._open().infolist()
        except Exception as error:  # zipfile raises half a dozen kinds for damaged files
            raise InputError(
                f"Expected an intact zip, found that {self.path} cannot be read ({reason(error)}). Copy it "
                "again, or create it again."
            ) from error
        stored: dict[str, str] = {}
        self.hidden: list[str] = []
        for info in infos:
            name = plain(_name(info))
            if info.filename.endswith(("/", "\\")):
                continue
            if not all(map(visible, name.split("/"))):
                self.hidden.append(name)
                continue
            before = stored.setdefault(
                name, info.filename
            )  # of one spelling twice, the later file is the valid one
            if before != info.filename:
                raise InputError(
                    f"Expected one file per name, found {before!r} and {info.filename!r} in {self.path}, which are "
                    "spellings of the same name. Keep the right one, or rename one."
                )
        names = list(stored)
        top = _single_top(names)
        if inside:
            full = any(name.startswith(f"{inside}/") for name in names)
            top = f"{inside}/" if full else f"{top}{inside}/"
        self._stored = {name[len(top) :]: stored[name] for name in names if name.startswith(top)}
        self.names = sorted(self._stored)

    @staticmethod
    def takes(path: str) -> bool:
        archive, _ = _split(path)
        return os.path.isfile(archive) and (archive.suffix.lower() == ".zip" or zipfile.is_zipfile(archive))

    def read(self, name: str) -> bytes:
        with self._lock:
            info = self._open().getinfo(self._stored[name])
            require_room(info.file_size)
            with self._open().open(info) as file:
                return file.read(info.file_size)  # a file may expand to more than it says

    def stamp(self, name: str) -> str:
        """The size and the checksum of a file."""
        with self._lock:
            info = self._open().getinfo(self._stored[name])
        return f"{info.file_size} {info.CRC}"

    def _open(self) -> zipfile.ZipFile:
        if self._file is None or self._pid != os.getpid():
            self._pid, self._file = os.getpid(), zipfile.ZipFile(self.path)
        return self._file

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_lock": None, "_file": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _lock=threading.Lock())


def _name(info: zipfile.ZipInfo) -> str:
    """Many programs write names as UTF-8 without saying so, and zipfile takes those for code page 437."""
    try:
        return info.filename if info.flag_bits & 0x800 else info.filename.encode("cp437").decode("utf-8")
    except UnicodeError:
        return info.filename


def _split(path: str) -> tuple[Path, str]:
    """Split "photos.zip/cats" into photos.zip and "cats". The second part of any other path is empty."""
    whole = Path(path)
    if not os.path.exists(whole):
        for archive in whole.parents:
            if archive.suffix.lower() == ".zip":
                return archive, whole.relative_to(archive).as_posix()
    return whole, ""


def _single_top(names: list[str]) -> str:
    """Return the top folder that holds all files, with a slash, or an empty string if there is none."""
    tops = {name.partition("/")[0] if "/" in name else "" for name in names}
    return f"{tops.pop()}/" if len(tops) == 1 and "" not in tops else ""
