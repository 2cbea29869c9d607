"""A folder of image files."""

from __future__ import annotations

import os
import stat

from stylegan2.data.checking import reason, require_room
from stylegan2.data.names import from_bytes, to_bytes, visible
from stylegan2.data.sources import sources
from stylegan2.errors import InputError

JUNCTION = getattr(stat, "IO_REPARSE_TAG_MOUNT_POINT", None)
"""What Windows calls a link to a folder that needs no privilege."""


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
        self.hidden: list[str] = []
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

    def stamp(self, name: str) -> str:
        """The size and the time of a file."""
        status = os.stat(os.path.join(self.root, to_bytes(name)))
        return f"{status.st_size} {status.st_mtime_ns}"

    def _find(self) -> list[bytes]:
        """Paths of all files. What is reached without links comes first, and then each link in order."""
        home = os.path.realpath(self.root)
        seen = {home}  # real paths
        paths: dict[str, list[bytes]] = {"file": [], "link": [], "link to folder": []}
        found, files, links = paths.values()  # all but `found` are yet to be looked at
        folders = [(b"", home)]
        while folders or links:
            if folders:
                below, here = folders.pop()
            else:
                below = links.pop(0)
                here = os.path.realpath(os.path.join(self.root, below))
                around = home.startswith(os.path.join(here, b""))
                if around or here in seen:
                    what = "a folder around the data" if around else "a folder that is found without it"
                    self.left_out[from_bytes(below)] = f"a link to {what}"
                    continue
                seen.add(here)
            for name, kind in self._entries(below):
                path, real = os.path.join(below, name), os.path.join(here, name)
                if kind != "folder":
                    paths[kind].append(path)
                elif real not in seen:  # it is no link, so its parent's real path gives its own
                    seen.add(real)
                    folders.append((path, real))
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
                every = [(entry.name, _kind(entry)) for entry in entries]
        except OSError as error:
            self.unreadable[from_bytes(below)] = reason(error)
            return []
        kinds = sorted((name, kind) for name, kind in every if visible(from_bytes(name)))
        self.hidden += [
            from_bytes(os.path.join(below, name)) for name, _ in every if not visible(from_bytes(name))
        ]
        if (b"config.yaml", "file") in kinds and (b"checkpoints", "folder") in kinds:
            self.left_out[from_bytes(below)] = "the folder of a training run"
            return []
        return kinds


def _kind(entry: os.DirEntry[bytes]) -> str:
    is_junction = (
        os.name == "nt" and getattr(entry.stat(follow_symlinks=False), "st_reparse_tag", 0) == JUNCTION
    )
    if entry.is_symlink() or is_junction:
        return "link to folder" if os.path.isdir(entry.path) else "link"
    return "folder" if entry.is_dir(follow_symlinks=False) else "file"
