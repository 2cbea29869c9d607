"""A folder of image files."""

import os
from pathlib import Path

from stylegan2.data.sources import sources, visible


@sources.register("folder")
class Folder:
    """All files below a folder, at any depth. A file's name is its path relative to that folder."""

    def __init__(self, path: str):
        self.path = Path(path)
        found = []
        for folder, folders, files in os.walk(path, followlinks=True):
            folders[:] = [name for name in folders if visible(name)]
            below = Path(folder).relative_to(path)
            found += [(below / name).as_posix() for name in files if visible(name)]
        self.names = sorted(found)

    @staticmethod
    def takes(path: str) -> bool:
        return os.path.isdir(path)

    def read(self, name: str) -> bytes:
        return (self.path / name).read_bytes()
