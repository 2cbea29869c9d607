"""The folder of a run: which one it is, and that one process alone writes to it."""

from __future__ import annotations

import errno
import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from itertools import count, takewhile
from pathlib import Path
from typing import IO

from stylegan2.errors import InputError

from .launch import is_first_process, owner

LAST = Path("checkpoints") / "last.ckpt"
"""The newest checkpoint, in the folder of a run."""

LOCK = ".lock"
"""File in the folder of a run that its process holds locked. It names the process."""

WRITTEN = {
    "config.yaml",
    "init_from.csv",
    "metrics.csv",
    "report.html",
    "figures.csv",
    "evaluation.csv",
    "evaluation.png",
    "samples",
    "checkpoints",
    "wandb",
    "wandb_id.txt",
    "tensorboard",
    LOCK,
}
"""What a run writes into its folder."""

_held: set[Path] = set()
_held_guard = threading.Lock()


class Occupied(InputError):
    """The folder belongs to another run."""


def latest(runs: Path, default: str) -> Path | None:
    """Of the runs without a name of their own, the newest that has a checkpoint."""
    there = takewhile(Path.exists, _numbered(runs, default))
    return next(iter(reversed([folder for folder in there if (folder / LAST).is_file()])), None)


def belongs_to_this_launch(folder: Path) -> bool:
    """Whether this process, or the torchrun that started it, was the last to write to the folder."""
    try:
        return (folder / LOCK).read_text(encoding="utf-8") == owner()
    except OSError:
        return False


@contextmanager
def held_folder(runs: Path, name: str | None, default: str, resumed: Path | None = None) -> Iterator[Path]:
    """Give the folder of a run, to which no other process can write until the block ends.

    Only the first process of a run holds it. A folder that is new is removed again if the block leaves no
    checkpoint in it. One whose run was killed before its first checkpoint is taken over.

    Args:
        runs: The folder of all runs.
        name: Name of a new run. None: `default`, with the next free number.
        default: What a run without a name is called.
        resumed: The folder of the run that goes on. None: a new run starts.

    Raises:
        Occupied: Another process writes to the folder, or it holds another run or other files.
        InputError: It cannot be written to.
    """
    if not is_first_process():
        yield resumed or runs / (name or f"{default} of the first process")  # which alone writes to it
        return
    with ExitStack() as stack:
        if resumed is not None:
            stack.enter_context(_locked(resumed))
            yield resumed
        elif name is not None:
            stack.enter_context(_taken(runs / name))
            yield runs / name
        else:
            newest = latest(runs, default)
            for folder in _numbered(runs, default, after=newest):
                with suppress(Occupied):
                    stack.enter_context(_taken(folder))
                    break
            yield folder


def _numbered(runs: Path, default: str, after: Path | None = None) -> Iterator[Path]:
    """runs/default, runs/default-2, ... without end; those after a given one."""
    folders = (runs / (default if i == 1 else f"{default}-{i}") for i in count(1))
    if after is not None:
        next(folder for folder in folders if folder == after)
    return folders


@contextmanager
def _taken(folder: Path) -> Iterator[None]:
    try:
        missing = [path for path in (folder, *folder.parents) if not path.exists()]
        folder.mkdir(parents=True)
    except FileExistsError:
        missing = []
        _require_free(folder)
    except OSError as error:
        raise _unwritable(folder, error) from error
    with _locked(folder):
        _require_free(folder)  # another process may have been faster
        try:
            yield
        finally:
            if missing and not _has_checkpoint(folder):
                shutil.rmtree(folder, ignore_errors=True)
                with suppress(OSError):  # another run lies there by now
                    for parent in missing[1:]:
                        parent.rmdir()


def _require_free(folder: Path) -> None:
    if not folder.is_dir():
        raise InputError(
            f"Expected a folder at {folder}, or nothing, found a file. Choose another --name or --runs."
        )
    if _has_checkpoint(folder):
        raise Occupied(
            f"{folder} already holds a run. Go on with it by --ckpt_path last, or choose another --name."
        )
    other = sorted(
        path.name for path in folder.iterdir() if path.name not in WRITTEN and path.suffix != ".tmp"
    )
    if other:
        raise Occupied(
            f"Expected in {folder} only what a run writes, found {', '.join(other[:3])}. Choose another --name."
        )


def _has_checkpoint(folder: Path) -> bool:
    return any((folder / LAST.parent).glob("*.ckpt"))


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold the folder's lock, which the operating system frees however the process ends."""
    path = (folder / LOCK).resolve()
    with _held_guard:
        if path in _held:  # by another thread, which the operating system does not tell apart
            raise _in_use(folder, "this process")
        _held.add(path)
    try:
        try:
            file = path.open("a+", encoding="utf-8")
        except OSError as error:
            raise _unwritable(folder, error) from error
        with file:
            free = _lock(file)
            file.seek(0)
            before = file.read()
            if not free:
                raise _in_use(folder, before or "another process")
            if before != owner():
                file.truncate(0)
                file.write(owner())
                file.flush()
            yield  # in which nobody of this process opens the file, since closing it would free the lock
    finally:
        _held.discard(path)


def _lock(file: IO[str]) -> bool:
    """Lock a file unless another process has. A file system without locks gives it to everyone."""
    try:
        if os.name == "nt":
            import msvcrt

            file.seek(1 << 30)  # beyond what others read
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
        else:
            import fcntl

            fcntl.lockf(
                file, fcntl.LOCK_EX | fcntl.LOCK_NB
            )  # unlike flock, not shared with forked data workers
    except OSError as error:
        return error.errno not in (errno.EACCES, errno.EAGAIN, errno.EDEADLK)
    return True


def _in_use(folder: Path, by: str) -> Occupied:
    return Occupied(f"{folder} is being written to by {by}. Wait until it ends, or choose another --name.")


def _unwritable(folder: Path, error: OSError) -> InputError:
    return InputError(
        f"Expected to be able to write to {folder}, which the options runs and name give, found: "
        f"{error.strerror}. Choose another --runs, or make room or get permission there."
    )
