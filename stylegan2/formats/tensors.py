"""PyTorch files of plain data and tensors, and safetensors files: atomic writing, and a check for damage.

A PyTorch file is a zip archive, which stores a CRC-32 checksum of each record. PyTorch writes the checksums but
never verifies them, so it loads damaged files. Reading a file here verifies them.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from stylegan2.errors import InputError
from stylegan2.files import replacing

NUMBERED = re.compile(r"kimg(\d+(?:\.\d+)?)\.ckpt")
"""The names of numbered checkpoints. The number is in thousands of images."""


class Options:
    """The options of another program. Its attributes are plain data."""


def write_tensors(contents: Mapping[str, Any], path: str | Path) -> None:
    """Write a PyTorch file atomically. A file of that name is replaced.

    Raises:
        InputError: The file cannot be written, for example because the disk is full. The old one stays.
    """
    try:
        with replacing(path) as temporary, temporary.open("wb") as file:
            torch.save(contents, file)
    except (OSError, RuntimeError) as error:  # PyTorch's writer raises the latter for a full disk
        reason = getattr(error, "strerror", None) or str(error).splitlines()[0]
        raise InputError(
            f"Expected to write the checkpoint {path}, found that this fails ({reason}). The "
            "previous checkpoint is unchanged. Free some space, or allow writing there, and resume from it."
        ) from error


def write_safetensors(
    tensors: Mapping[str, Tensor], path: str | Path, metadata: Mapping[str, str] | None = None
) -> None:
    """Write tensors and texts about them as a safetensors file, atomically. A file of that name is replaced.

    Raises:
        OSError: The folder cannot be written to, or the disk is full.
    """
    from safetensors.torch import save

    # A copy for each, in the order of its dimensions, because the format refuses tensors that share memory.
    plain = {
        name: t.detach().cpu().clone(memory_format=torch.contiguous_format) for name, t in tensors.items()
    }
    with replacing(path) as temporary:
        # safetensors' own `save_file` raises no OSError for a full disk.
        temporary.write_bytes(save(plain, None if metadata is None else dict(metadata)))


def read_tensors(path: str | Path) -> dict[str, Any]:
    """Read the contents of a PyTorch file with `weights_only=True`, onto the CPU.

    A file that holds something other than a dictionary gives an empty dictionary. The options that a program
    stored as `argparse.Namespace` become a record of class `Options`.

    Raises:
        InputError: The file does not exist, is damaged, or holds more than plain data and tensors.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(
            f"Expected a checkpoint at {path}, found no such file. Give the path of a .ckpt file."
        )
    if damage := find_damage(path):
        raise InputError(
            f"Expected an undamaged file, found that {path} is damaged: {damage}. {_advice(path)}"
        )
    try:
        with torch.serialization.safe_globals([(Options, "argparse.Namespace")]):
            contents = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # the unpickler raises many kinds for a file that is no checkpoint
        raise InputError(
            f"Expected a checkpoint, found that {path} cannot be read as one ({type(error).__name__}). "
            f"{_advice(path)}"
        ) from error
    return contents if isinstance(contents, dict) else {}


def find_damage(path: Path) -> str | None:
    """Verify the checksums of a file that starts as a zip archive.

    Returns:
        What is wrong with the file. None if nothing is, or if the file is of another kind.
    """
    try:
        with path.open("rb") as file:
            if file.read(4) != b"PK\x03\x04":
                return None  # the format of PyTorch before 1.6 has no checksums
        with zipfile.ZipFile(path) as archive:
            if sum(record.file_size for record in archive.infolist()) > path.stat().st_size:
                return "its records are larger than the file, which PyTorch does not compress"
            if not any(record.CRC for record in archive.infolist()):
                return None  # written with set_crc32_options(False)
            record = archive.testzip()
    except Exception as error:  # damaged archives raise many kinds
        return f"the archive cannot be read ({error})"
    return f"the record {record!r} does not match its checksum" if record else None


def newest_sound(path: Path) -> Path | None:
    """The newest undamaged numbered checkpoint in the folder of `path`, other than `path` itself."""
    numbered = [(float(match[1]), p) for p in path.parent.iterdir() if (match := NUMBERED.fullmatch(p.name))]
    others = (p for _, p in sorted(numbered, reverse=True) if p != path and p.is_file())
    return next((p for p in others if zipfile.is_zipfile(p) and not find_damage(p)), None)


@contextmanager
def described(path: str | Path, what: str) -> Iterator[None]:
    """Context manager that turns any error in the block into a message about the contents of a file.

    Args:
        path: The file whose contents the block interprets.
        what: What the file should hold, for the message.

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
        return f"The newest undamaged checkpoint in its folder is {other}. Give that path instead."
    return "Give a file that training wrote, such as runs/NAME/checkpoints/last.ckpt."
