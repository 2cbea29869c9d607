"""Where built libraries are kept: each in a folder of its own, beside a report that says what its bytes are.

A library is used only if it is what its report says. A library that was deleted, cut off or half written is
built again.
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

from .compiler import BuildError

LIBRARY, REPORT = "library.so", "report.json"
LOCK_LIMIT = 600.0
"""Seconds that a process waits for another one that is building the same library."""


def folders() -> list[Path]:
    """The folders that may hold libraries, the preferred one first.

    `STYLEGAN2_CACHE` is the only one if it is set. Otherwise there are `stylegan2` in the user's cache folder and,
    for users who cannot write there, a folder of their own among the system's temporary files.
    """
    if folder := os.environ.get("STYLEGAN2_CACHE"):
        return [Path(folder).expanduser()]
    found = []
    with contextlib.suppress(RuntimeError):  # a user without a home
        found.append(Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "stylegan2")
    if temporary := _temporary_folder():
        found.append(temporary)
    return found


def _temporary_folder() -> Path | None:
    with contextlib.suppress(OSError, AttributeError):  # no temporary files; a system without user numbers
        return Path(tempfile.gettempdir()) / f"stylegan2-{os.getuid()}"
    return None


def find(name: str) -> Path | None:
    """The folder of a library that was built before and is whole."""
    return next(
        (folder / name for folder in folders() if _is_ours(folder) and _is_whole(folder / name)), None
    )


def report(folder: Path) -> dict[str, Any]:
    """What is known of a finished library: seconds, compiler, flags."""
    contents: dict[str, Any] = json.loads((folder / REPORT).read_text(encoding="utf-8"))
    return contents


def make(name: str, build: Callable[[Path], dict[str, Any]]) -> tuple[Path, bool]:
    """Build a library unless another process does, in the first folder that can be written.

    Args:
        name: Of the library's folder, in the cache folder.
        build: Puts the library into the folder that it is given, and returns the report.

    Returns:
        The library's folder, and whether `build` was called for it.

    Raises:
        BuildError: No folder can be written, or another process takes too long.
    """
    problems: list[str] = []
    for folder in folders():
        try:
            _create(folder)
            with _lock(folder / f"{name}.lock"):
                if _is_whole(folder / name):
                    return folder / name, False
                if problems:
                    _say(f"{problems[0]}. The kernels are kept in {folder}, which may not last.")
                _build_apart(folder, name, build)
                return folder / name, True
        except OSError as error:
            problems.append(f"cannot write the cache folder {folder} ({error.strerror or error})")
    raise BuildError(f"{'; '.join(problems)}. Set STYLEGAN2_CACHE to a folder that you can write.")


def _build_apart(cache: Path, name: str, build: Callable[[Path], dict[str, Any]]) -> None:
    """Build in another folder and move it into place whole: a killed build leaves nothing in the way."""
    for stale in cache.glob(f".{name}-*"):
        shutil.rmtree(stale, ignore_errors=True)
    folder = cache / f".{name}-{uuid.uuid4().hex}"  # unlike mkdtemp's, readable by whom the user lets read
    folder.mkdir()
    try:
        contents = build(folder) | {"sha256": _digest(folder / LIBRARY)}
        (folder / REPORT).write_text(json.dumps(contents, indent=1), encoding="utf-8")
        shutil.rmtree(cache / name, ignore_errors=True)  # what is there is not whole
        folder.rename(cache / name)
    finally:
        shutil.rmtree(folder, ignore_errors=True)  # gone already after success


def _is_whole(folder: Path) -> bool:
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
        if not _is_ours(folder):
            raise PermissionError(0, "it belongs to someone else")
    else:
        folder.mkdir(parents=True, exist_ok=True)


def _is_temporary(folder: Path) -> bool:
    return folder == _temporary_folder() and not os.environ.get("STYLEGAN2_CACHE")


def _is_ours(folder: Path) -> bool:
    """Whether nobody else can have put a library there; asked among the temporary files, where anyone can."""
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
    """A lock that the operating system frees when its owner dies, however that happens."""
    try:
        import fcntl
    except ImportError as error:
        raise BuildError("they are built on Linux and macOS only. Set STYLEGAN2_KERNELS=off.") from error
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
