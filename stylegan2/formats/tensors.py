"""PyTorch files of plain data and tensors: written whole, and read only if they are as they were written.

Such a file is a zip archive, which holds a CRC-32 checksum for each of its records. PyTorch writes the
checksums and does not look at them, so a damaged file would load. Here they are checked at every reading.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from stylegan2.errors import InputError
from stylegan2.files import replacing

NUMBERED = re.compile(r"kimg(\d+(?:\.\d+)?)\.ckpt")
"""The names of a run's numbered checkpoints, which end in the thousands of images seen."""


def write_tensors(contents: Mapping[str, Any], path: str | Path) -> None:
    """Write a file beside `path` and rename it, so that `path` is the old file or the new one, and whole.

    Raises:
        InputError: The file cannot be written, for example because the disk is full. The old one stays.
    """
    try:
        with replacing(path) as temporary, temporary.open("wb") as file:
            torch.save(contents, file)
    except OSError as error:
        raise InputError(
            f"Expected to write the checkpoint {path}, found that it cannot be done ({error.strerror}). What was "
            "there before stays. Make room or permit writing, and resume from there."
        ) from error


def read_tensors(path: str | Path) -> dict[str, Any]:
    """The contents of a PyTorch file, with `weights_only=True`; empty if it holds something else than a
    dictionary.

    Raises:
        InputError: There is no such file, or it is damaged, or it does not hold plain data and tensors.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(
            f"Expected a checkpoint at {path}, found no such file. Give the path of a .ckpt file."
        )
    if damage := find_damage(path):
        raise InputError(f"Expected {path} as it was written, found it damaged: {damage}. {_advice(path)}")
    try:
        contents = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # whatever a file that is no checkpoint makes of the unpickler
        raise InputError(
            f"{path} cannot be read as a checkpoint ({type(error).__name__}). {_advice(path)}"
        ) from error
    return contents if isinstance(contents, dict) else {}


def find_damage(path: Path) -> str | None:
    """What is wrong with a file that is a zip archive by its first bytes; None if its checksums are right."""
    try:
        with path.open("rb") as file:
            if file.read(4) != b"PK\x03\x04":
                return None  # of PyTorch's format before 1.6, or none at all: there are no checksums
        with zipfile.ZipFile(path) as archive:
            record = archive.testzip()
    except Exception as error:  # damaged archives raise a dozen kinds
        return f"it is no whole archive ({error})"
    return f"its record {record!r} does not match the stored checksum" if record else None


def newest_sound(path: Path) -> Path | None:
    """The newest numbered checkpoint in the folder of `path`, other than `path`, that is not damaged."""
    numbered = [(float(match[1]), p) for p in path.parent.iterdir() if (match := NUMBERED.fullmatch(p.name))]
    others = (p for _, p in sorted(numbered, reverse=True) if p != path and p.is_file())
    return next((p for p in others if zipfile.is_zipfile(p) and not find_damage(p)), None)


@contextmanager
def described(path: str | Path, what: str) -> Iterator[None]:
    """Whatever error a file's contents lead to in the block says that the file does not hold `what`.

    Raises:
        InputError: The block raised an error.
    """
    try:
        yield
    except InputError:
        raise
    except Exception as error:  # the contents of a file can be anything
        raise InputError(
            f"Expected {what} in {path}, found other contents ({type(error).__name__}: {error}). "
            f"{_advice(Path(path))}"
        ) from error


def _advice(path: Path) -> str:
    if other := newest_sound(path):
        return f"The newest sound checkpoint beside it is {other}: give that path instead."
    return "Give a file that training wrote, such as runs/NAME/checkpoints/last.ckpt."
