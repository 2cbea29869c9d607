"""Where commands write, checked before the work, and what they say when writing fails in the middle."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from tqdm import tqdm

from stylegan2.errors import InputError
from stylegan2.files import printable

T = TypeVar("T")


def writable_folder(out: str) -> Path:
    """The folder to write to, made if it is missing, after a file could be written into it.

    Raises:
        InputError: There can be no such folder, or nothing can be written into it.
    """
    try:
        folder = Path(out).expanduser()
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except (OSError, ValueError, RuntimeError) as error:  # such as a character 0, or no such user's home
        raise InputError(
            f"--out expects a folder that can be written to, found {printable(out)} "
            f"({getattr(error, 'strerror', None) or error}). Name another one."
        ) from error
    return folder


def output_file(out: str, suffix: str) -> Path:
    """The path of a file to write.

    Raises:
        InputError: It is a folder, or its folder is missing, or it does not end with the suffix.
    """
    path = Path(out).expanduser()
    if path.is_dir() or not path.absolute().parent.is_dir() or path.suffix != suffix:
        raise InputError(
            f"--out expects a {suffix} file in an existing folder, found {printable(out)}. Name another file."
        )
    return path


@contextmanager
def writing(where: Path, progress: tqdm[Any] | None = None, stays: bool = True) -> Iterator[None]:
    """Context manager around writing that tells the user what failed, such as a full disk, and what is left.

    Args:
        where: The file or folder that is written.
        progress: The bar of the pieces that are written.
        stays: Whether the pieces that were written before stay.

    Raises:
        InputError: The block raised an OSError.
    """
    try:
        yield
    except BrokenPipeError:  # nobody reads the output any more
        raise
    except OSError as error:
        kept = ""
        if progress is not None:
            kept = f" after {progress.n} of {progress.total} {progress.unit}s"
            kept += ", which stay there" if stays and progress.n else ""
        raise InputError(
            f"Writing to {printable(str(where))} failed{kept}: {error.strerror or error}. Make room, or name "
            "another place with --out."
        ) from error


def counted(pieces: Iterable[T], progress: tqdm[Any]) -> Iterator[T]:
    """Yield pieces, and count each in a progress bar after it was written."""
    for piece in pieces:
        yield piece
        progress.update()
