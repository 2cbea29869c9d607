"""The contents of a file that holds networks, whatever its container: PyTorch's, safetensors, or a pickle."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stylegan2.errors import InputError
from stylegan2.pickles import UnsafePickle, read_pickle
from stylegan2.pickles.inert import LEGACY_MAGIC

from .tensors import read_tensors

METADATA = "__metadata__"
"""Key of the contents under which a safetensors file has its header's text, if it has any."""

HEADER = 100_000_000
"""Most bytes of a safetensors header, as its own library limits it."""


def read_contents(path: str | Path) -> Mapping[Any, Any]:
    """Read a file without executing anything that it holds.

    Returns:
        The file's dictionary. A file that holds a list or a tuple gives its items by their number, and one that
        holds something else gives an empty dictionary. Classes that are not known are `Inert` records.

    Raises:
        InputError: The file does not exist, is damaged, or is of another kind.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            start = file.read(16)
    except OSError:
        return read_tensors(path)  # raises the message for a missing file
    if start.startswith((b"PK\x03\x04", LEGACY_MAGIC)) or not start:
        return read_tensors(path)
    if start[8:9] == b"{" and int.from_bytes(start[:8], "little") <= HEADER:
        return _read_safetensors(path)
    try:
        contents = read_pickle(path)
    except (UnsafePickle, OSError) as error:
        raise InputError(
            f"Expected a file of networks (PyTorch, safetensors or pickle), found that {path} cannot be read as "
            f"one: as a pickle, {error}. Give another file, or download this one again."
        ) from error
    if isinstance(contents, (list, tuple)):
        return dict(enumerate(contents))
    return contents if isinstance(contents, dict) else {}


def _read_safetensors(path: Path) -> dict[str, Any]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            contents: dict[str, Any] = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            metadata = file.metadata()
    except (SafetensorError, OSError, ValueError, RuntimeError) as error:
        raise InputError(
            f"Expected a safetensors file, found that {path} is damaged or was cut ({str(error)[:200]}). "
            "Download or copy it again."
        ) from error
    return contents | ({METADATA: dict(metadata)} if metadata else {})
