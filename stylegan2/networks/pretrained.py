"""`from_pretrained` and `save_pretrained` of the generator, as the field's other libraries have them."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T", bound="Pretrained")


class Pretrained:
    """Adds loading from, and saving to, a folder or a repository of a model hub."""

    @classmethod
    def from_pretrained(cls: type[T], name: str | Path, revision: str | None = None) -> T:
        """Load the generator for sampling from a folder of `save_pretrained`, or from a repository of the hub.

        Args:
            name: The folder, or the name of a repository, such as "user/cats". A folder comes first.
            revision: Branch, tag or commit of the repository. None is its newest commit.

        Raises:
            InputError: There is no such folder, and the repository cannot be reached.
        """
        network: T = _hub().from_pretrained(name, revision)
        return network

    def save_pretrained(self, folder: str | Path) -> Path:
        """Write the weights and the settings as `model.safetensors` to a folder, and return the file.

        Raises:
            InputError: The folder cannot be written to.
        """
        path: Path = _hub().save_pretrained(self, folder)
        return path


def _hub() -> Any:
    """The module that reads and writes. It imports the networks, so that it is imported at the first use."""
    return import_module("stylegan2.formats.hub")
