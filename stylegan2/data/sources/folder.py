"""A folder of image files."""

from __future__ import annotations

import os
import stat

from stylegan2.data.checking import reason, require_room
from stylegan2.data.names import from_bytes, to_bytes, visible
from stylegan2.data.sources import sources
from stylegan2.errors import InputError


@sources.register("folder")
class Folder:
    """All files below a folder, at any depth. A file's name is its path relative to that folder.

    Links are followed, and each real file is listed once. A link is left out if it leads to a file or folder
    that is found without it, or to a parent of the data set. The folders of training runs are left out too.

    Raises:
        InputError: The folder cannot be read, or it is the folder of a training run.
    """

    def __init__(self, path: str):
        self.root = os.fsencode(path)
        self.left_out: dict[str, str] = {}
        self.unreadable: dict[str, str] = {}
        self.names = sorted(map(from_bytes, self._find()))
        if "" in self.unreadable:
            raise InputError(
                f"Expected a folder of images, found that {path} cannot be read ({self.unreadable['']}). "
                "Change its permissions, or name another."
            )
        if "" in self.left_out:
            raise InputError(
                f"Expected a folder of images, found that {path} is the folder of a training run. Name the "
                "folder of your images."
            )

    @staticmethod
    def takes(path: str) -> bool:
        return os.path.isdir(path)

    def read(self, name: str) -> bytes:
        path = os.path.join(self.root, to_bytes(name))
        status = os.stat(path)
        if not stat.S_ISREG(status.st_mode):
            raise OSError("this is a pipe or a device, not a file")
        require_room(status.st_size)
        with open(path, "rb") as file:
            return file.read()

    def _find(self) -> list[bytes]:
        """Paths of all files. What is reached without links comes first, and then each link in order."""
        home = os.path.realpath(self.root)
        seen = {home}
        paths: dict[str, list[bytes]] = {"file": [], "folder": [b""], "link": [], "link to folder": []}
        found, folders, files, links = paths.values()  # all but `found` are yet to be looked at
        while folders or links:
            if folders:
                below = folders.pop()
            else:
                below = links.pop(0)
                real = os.path.realpath(os.path.join(self.root, below))
                around = home.startswith(os.path.join(real, b""))
                if around or real in seen:
                    what = "a folder around the data" if around else "a folder that is found without it"
                    self.left_out[from_bytes(below)] = f"a link to {what}"
                    continue
                seen.add(real)
            for name, kind in self._entries(below):
                path = os.path.join(below, name)
                if kind != "folder":
                    paths[kind].append(path)
                elif (real := os.path.realpath(os.path.join(self.root, path))) not in seen:
                    seen.add(real)
                    folders.append(path)
        for path in files:
            real = os.path.realpath(os.path.join(self.root, path))
            folder, name = os.path.split(real)
            if real in seen or (folder in seen and visible(from_bytes(name)) and os.path.isfile(real)):
                self.left_out[from_bytes(path)] = "a link to a file that is found without it"
            else:
                seen.add(real)
                found.append(path)
        return found

    def _entries(self, below: bytes) -> list[tuple[bytes, str]]:
        """Visible names in a folder with what they are: file, folder, link, or link to folder."""
        try:
            with os.scandir(os.path.join(self.root, below)) as entries:
                kinds = [(entry.name, _kind(entry)) for entry in entries if visible(from_bytes(entry.name))]
        except OSError as error:
            self.unreadable[from_bytes(below)] = reason(error)
            return []
        kinds.sort()
        if (b"config.yaml", "file") in kinds and (b"checkpoints", "folder") in kinds:
            self.left_out[from_bytes(below)] = "the folder of a training run"
            return []
        return kinds


def _kind(entry: os.DirEntry[bytes]) -> str:
    if entry.is_symlink():
        return "link to folder" if os.path.isdir(entry.path) else "link"
    return "folder" if entry.is_dir(follow_symlinks=False) else "file"
