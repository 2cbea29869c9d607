"""Formats of checkpoint files, our own and others. Reading one runs no code that it contains.

A format is one registered object of class `Format`, in a file of this package or in a user's module.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stylegan2.errors import InputError
from stylegan2.networks.generator import Generator
from stylegan2.registry import Registry

from .tensors import described, read_tensors


@dataclass(frozen=True, kw_only=True)
class Format:
    """One way to store a generator in a PyTorch file of plain data and tensors."""

    about: str
    """What a file of this format is called in messages."""

    recognizes: Callable[[Mapping[str, Any]], bool]
    """Tells from the contents of a file whether it has this format."""

    load_generator: Callable[[Mapping[str, Any]], tuple[Generator, dict[str, Any]]]
    """Makes the generator for sampling from the contents of a file, and returns it with the file's
    information about it (images, class_names, ...)."""


formats: Registry[Format] = Registry("checkpoint format", __name__)


def load_generator(path: str | Path) -> tuple[Generator, dict[str, Any]]:
    """Load the generator for sampling from a file of any known format.

    From a checkpoint of a run this is the generator EMA, if the run kept one.

    Returns:
        The network on the CPU in evaluation mode, without gradients, and the file's information about it.
        Our own checkpoints give `images`, `iteration` and `class_names`, among others.

    Raises:
        InputError: The file does not exist, is damaged, or has no known format.
    """
    contents = read_tensors(path)
    for format in formats.values():
        if format.recognizes(contents):
            with described(path, format.about):
                generator, about = format.load_generator(contents)
            return generator.eval().requires_grad_(False), about
    known = " or ".join(format.about for format in formats.values())
    raise InputError(
        f"Expected {known}, found that {path} is a PyTorch file of another kind. Give another file."
    )
