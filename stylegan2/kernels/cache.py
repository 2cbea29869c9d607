"""The cache of built libraries. Each lies in its own folder, with a report that holds its checksum.

A library is loaded only if its checksum is right. A library that was deleted, truncated or changed is built
again.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from stylegan2.files import cache_folder

from .compiler import BuildError

LIBRARY, REPORT = "library.so", "report.json"
LOCK_LIMIT = 600.0
"""How long a process waits for another one that is building the same library, in seconds."""


def folders() -> list[Path]:
    """Return the folders that may hold libraries, the preferred one first.

    If `STYLEGAN2_CACHE` is set, it is the only one. Otherwise the first is `stylegan2` in the user's cache
    folder. The second, for users who cannot write there, is a private folder among the temporary files.
    """
    found = [folder] if (folder := cache_folder()) else []
    if os.environ.get("STYLEGAN2_CACHE"):
        return found
    if temporary := _temporary_folder():
        found.append(temporary)
    return found


def _temporary_folder() -> Path | None:
    with contextlib.suppress(OSError, AttributeError):  # no folder for temporary files, or no user id
        return Path(tempfile.gettempdir()) / f"stylegan2-{os.getuid()}"
    return None


def find(name: str) -> Path | None:
    """Return the folder of a library that was built before and is intact, or None."""
    return next(
        (folder / name for folder in folders() if _is_private(folder) and _is_intact(folder / name)), None
    )


def report(folder: Path) -> dict[str, Any]:
    """Read how a library was built (seconds, compiler, flags)."""
    return json.loads((folder / REPORT).read_text(encoding="utf-8"))


def make(name: str, build: Callable[[Path], dict[str, Any]]) -> tuple[Path, bool]:
    """Build a library in the first folder that can be written, or wait for the process that is building it.

    Args:
        name: Name of the library's folder in the cache folder.
        build: Builds the library in the folder that it gets, and returns the report.

    Returns:
        The folder of the library, and whether this process built it.

    Raises:
        BuildError: No folder can be written, or another process takes too long.
    """
    problems: list[str] = []
    for folder in folders():
        try:
            _create(folder)
            with _lock(folder / f"{name}.lock"):
                if _is_intact(folder / name):
                    return folder / name, False
                if problems:
                    _say(f"{problems[0]}. The kernels are kept in {folder} instead.")
                _build_apart(folder, name, build)
                return folder / name, True
        except OSError as error:
            problems.append(f"cannot write the cache folder {folder} ({error.strerror or error})")
    raise BuildError(f"{'; '.join(problems)}. Set STYLEGAN2_CACHE to a folder that you can write.")


def _build_apart(cache: Path, name: str, build: Callable[[Path], dict[str, Any]]) -> None:
    """Build in a temporary folder, and then rename it, so that a killed build does no harm."""
    for stale in cache.glob(f".{name}-*"):
        shutil.rmtree(stale, ignore_errors=True)
    folder = cache / f".{name}-{uuid.uuid4().hex}"  # unlike mkdtemp's, it obeys the umask
    folder.mkdir()
    try:
        contents = build(folder) | {"sha256": _digest(folder / LIBRARY)}
        (folder / REPORT).write_text(json.dumps(contents, indent=1), encoding="utf-8")
        shutil.rmtree(cache / name, ignore_errors=True)  # what is there is not intact
        folder.rename(cache / name)
    finally:
        shutil.rmtree(folder, ignore_errors=True)  # after success it has been renamed


def _is_intact(folder: Path) -> bool:
    try:
        return bool(report(folder)["sha256"] == _digest(folder / LIBRARY))
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _create(folder: Path) -> None:
    if _is_temporary(folder):
        with contextlib.suppress(FileExistsError):
            folder.mkdir(mode=0o700)
        if not _is_private(folder):
            raise PermissionError(0, "other users can write it")
    else:
        folder.mkdir(parents=True, exist_ok=True)


def _is_temporary(folder: Path) -> bool:
    return folder == _temporary_folder() and not os.environ.get("STYLEGAN2_CACHE")


def _is_private(folder: Path) -> bool:
    """Return whether no other user can have put a library there. All users can write temporary files."""
    if not _is_temporary(folder):
        return True
    try:
        status = folder.lstat()
    except OSError:
        return False
    return (
        folder.is_dir()
        and not folder.is_symlink()
        and status.st_uid == os.getuid()
        and not status.st_mode & 0o077
    )


@contextlib.contextmanager
def _lock(path: Path) -> Iterator[None]:
    """Hold a file lock, which the operating system releases when the process ends in any way."""
    try:
        import fcntl
    except ImportError as error:
        raise BuildError("they can be built only on Linux and macOS. Set STYLEGAN2_KERNELS=off.") from error
    started, said = time.monotonic(), False
    with open(path, "a+", encoding="utf-8") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                owner = path.read_text(encoding="utf-8").strip() or "another process"
                if time.monotonic() - started > LOCK_LIMIT:
                    raise BuildError(
                        f"{owner} has held {path} for {LOCK_LIMIT:.0f} s. Stop it and try again."
                    ) from None
                if not said:
                    _say(f"waiting for {owner}, which is building the kernels ({path}).")
                    said = True
                time.sleep(0.1)
        file.truncate(0)
        file.write(f"process {os.getpid()}")
        file.flush()
        yield


def _say(message: str) -> None:
    print(f"stylegan2: {message}", file=sys.stderr, flush=True)
