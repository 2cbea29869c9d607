"""A zip of image files, or a folder in it."""

from __future__ import annotations

import os
import threading
import zipfile
from pathlib import Path

from stylegan2.data.sources import sources, visible
from stylegan2.errors import InputError


@sources.register("zip")
class Zip:
    """The files of a zip, or of a folder in it such as photos.zip/cats.

    A file's name is its path in the zip. If one top folder holds everything, its name is left out. Each
    process opens the zip again, because forked processes would share one file position.
    """

    def __init__(self, path: str):
        self.path, inside = _split(path)
        self._lock, self._pid, self._file = threading.Lock(), None, None
        try:
            names = [name for name in self._open().namelist() if not name.endswith("/")]
        except (zipfile.BadZipFile, OSError) as error:
            raise InputError(
                f"Expected an intact zip, found that {self.path} cannot be read ({error}). Copy it again, or "
                "create it again."
            ) from error
        names = [name for name in names if all(map(visible, name.split("/")))]
        self._top = _single_top(names)
        if inside:
            full = any(name.startswith(f"{inside}/") for name in names)
            self._top = f"{inside}/" if full else f"{self._top}{inside}/"
            names = [name for name in names if name.startswith(self._top)]
        self.names = sorted({name[len(self._top) :] for name in names})  # a zip can hold a name twice

    @staticmethod
    def takes(path: str) -> bool:
        archive, _ = _split(path)
        return archive.is_file() and (archive.suffix.lower() == ".zip" or zipfile.is_zipfile(archive))

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


def _split(path: str) -> tuple[Path, str]:
    """Split "photos.zip/cats" into photos.zip and "cats". The second part of any other path is empty."""
    whole = Path(path)
    if not whole.exists():
        for archive in whole.parents:
            if archive.suffix.lower() == ".zip":
                return archive, whole.relative_to(archive).as_posix()
    return whole, ""


def _single_top(names: list[str]) -> str:
    """Return the top folder that holds all files, with a slash, or an empty string if there is none."""
    tops = {name.partition("/")[0] if "/" in name else "" for name in names}
    return f"{tops.pop()}/" if len(tops) == 1 and "" not in tops else ""
