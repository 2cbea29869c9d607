"""An LMDB database of encoded images."""

from __future__ import annotations

import os
import re
import threading
from typing import Any

from stylegan2.data.checking import reason, require_room
from stylegan2.data.names import from_bytes
from stylegan2.data.sources import pack_command, sources
from stylegan2.errors import InputError

STARTS = (
    (b"\x89PNG", ".png"),
    (b"\xff\xd8\xff", ".jpg"),
    (b"RIFF....WEBP", ".webp"),
    (b"GIF8", ".gif"),
    (b"II\\*\0|MM\0\\*", ".tif"),
    (b"....ftypavif", ".avif"),
    (b"\0\0\0\x0cjP  ", ".jp2"),
    (b"BM....\0\0\0\0", ".bmp"),
    (b"P[1-6]\\s", ".ppm"),
)
"""How the files of each format start, as regular expressions, and their extension."""

KINDS = tuple((re.compile(start, re.DOTALL), extension) for start, extension in STARTS)
SIZED = re.compile(r"(\d+)-(\d+)\.\w+")


@sources.register("lmdb")
class Lmdb:
    """The values of a database that are image files, such as LSUN's. A key becomes a name, with an extension.

    Databases of rosinality's StyleGAN2 hold each image in several sizes, with keys such as 256-00042. Of these the
    largest size is used. Nothing in a database is executed: pickled values are not read.

    Raises:
        InputError: The package lmdb is missing, the database cannot be read, or it holds no image files.
    """

    def __init__(self, path: str):
        self.path = path
        self.left_out: dict[str, str] = {}
        self.hidden: list[str] = []
        self._keys: dict[str, bytes] = {}
        pickled = 0
        try:
            with _environment(path).begin(buffers=True) as transaction:
                for key, value in transaction.cursor():
                    name, start = from_bytes(bytes(key)), bytes(value[:12])
                    kind = next((kind for pattern, kind in KINDS if pattern.match(start)), "")
                    if kind:
                        self._keys[name if name.lower().endswith(kind) else f"{name}{kind}"] = bytes(key)
                    elif name == "length":
                        self.hidden.append(name)
                    else:
                        is_pickle = start[:1] == b"\x80" and start[1] in range(2, 6)
                        pickled += is_pickle
                        self.left_out[name] = "a pickle" if is_pickle else "no image file"
        except InputError:
            raise
        except Exception as error:  # lmdb raises a dozen kinds
            raise InputError(
                f"Expected an intact LMDB database, found {path} damaged ({reason(error)}). Copy it again."
            ) from error
        if not self._keys:
            what = "pickles, whose reading would execute code" if pickled else "values of another kind"
            raise InputError(
                f"Expected an LMDB database of image files, found {len(self.left_out)} values in {path}, "
                f"{pickled or len(self.left_out)} of them {what}. {pack_command(path)}"
            )
        self._leave_small_copies_out()
        self.names = sorted(self._keys)

    @staticmethod
    def takes(path: str) -> bool:
        is_file = path.lower().endswith((".mdb", ".lmdb")) and os.path.isfile(path)
        return is_file or os.path.isfile(os.path.join(path, "data.mdb"))

    def read(self, name: str) -> bytes:
        with _environment(self.path).begin(buffers=True) as transaction:
            value = transaction.get(self._keys[name])
            require_room(len(value))
            return bytes(value)

    def stamp(self, name: str) -> str:
        """The size of a value, and the time of the database."""
        with _environment(self.path).begin(buffers=True) as transaction:
            size = len(transaction.get(self._keys[name]))
        return f"{size} {os.stat(_file(self.path)).st_mtime_ns}"

    def _leave_small_copies_out(self) -> None:
        matches = [SIZED.fullmatch(name) for name in self._keys]
        if not all(matches):
            return
        sizes = {int(match[1]) for match in matches if match}
        for name in [match[0] for match in matches if match and int(match[1]) < max(sizes)]:
            self.left_out[name] = "a smaller copy of another image"
            del self._keys[name]


def _file(path: str) -> str:
    return os.path.join(path, "data.mdb") if os.path.isdir(path) else path


_opened: dict[str, tuple[int, Any]] = {}
"""The open databases of this process, or of the one that it was forked from, with the id of the process."""
_lock = threading.Lock()


def _environment(path: str) -> Any:
    """The open database. A process may open it only once, and not use what it has from before it was forked."""
    real = os.path.realpath(path)
    with _lock:
        process, environment = _opened.get(real, (0, None))
        if environment is None or process != os.getpid():
            if environment is not None:
                environment.close()
            _opened[real] = os.getpid(), _open(real)
        return _opened[real][1]


def _open(path: str) -> Any:
    try:
        import lmdb
    except ImportError as error:
        raise InputError(
            f"Expected the package lmdb to read {path}, found none. Install it: pip install 'stylegan2[lmdb]'"
        ) from error
    environment = lmdb.Environment(
        path, subdir=os.path.isdir(path), readonly=True, lock=False, readahead=False
    )
    # The file is mapped into memory. Pages that are not there would end the process when they are touched.
    expected = (environment.info()["last_pgno"] + 1) * environment.stat()["psize"]
    if (found := os.path.getsize(_file(path))) < expected:
        environment.close()
        raise ValueError(f"{found:,} bytes of {expected:,}")
    return environment
