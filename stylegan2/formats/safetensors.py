"""Our networks as a safetensors file: tensors under the names of our checkpoints, and settings as JSON.

The header's metadata has the settings under `stylegan2`, and under `sha256` a checksum of settings and tensors.
The container itself has none.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from stylegan2.errors import InputError

from . import Format, Networks, formats
from .native import KEY, build, settings_of
from .official import tensors_of
from .reading import METADATA
from .tensors import write_safetensors

DIGEST = "sha256"


def digest(settings: str, tensors: Mapping[str, Tensor]) -> str:
    """The checksum of settings and tensors, in hexadecimal digits."""
    total = hashlib.sha256(settings.encode())
    for name in sorted(tensors):
        tensor = tensors[name].detach().contiguous()
        total.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        total.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return total.hexdigest()


def recognizes(contents: Mapping[Any, Any]) -> bool:
    metadata = contents.get(METADATA)
    return isinstance(metadata, dict) and type(metadata.get(KEY)) is str


def load(contents: Mapping[Any, Any]) -> Networks:
    """Build the networks of a file."""
    metadata, tensors = contents[METADATA], tensors_of(contents)
    if metadata.get("format") != "pt" or metadata.get(DIGEST) != digest(metadata[KEY], tensors):
        raise InputError(
            "Expected a file whose checksum is that of its contents, found another one: the file was damaged or "
            "changed. Copy or convert it again."
        )
    return build(json.loads(metadata[KEY]), tensors)


def write(networks: Networks, path: Path) -> list[str]:
    """Write networks with all of their settings."""
    settings = json.dumps(settings_of(networks))
    tensors = networks.tensors()
    metadata = {"format": "pt", KEY: settings, DIGEST: digest(settings, tensors)}
    write_safetensors(tensors, path, metadata)
    return []


formats.register("safetensors")(
    Format(
        about="a safetensors file of this package",
        suffix=".safetensors",
        recognizes=recognizes,
        load=load,
        write=write,
    )
)
