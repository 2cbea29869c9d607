"""Files that hold networks, ours and others': what is recognized is read, and nobody's code is run.

A format is one file here (or in a user's module) with one registered object of class `Format`.
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
    """What such a file is, for messages."""

    recognizes: Callable[[Mapping[str, Any]], bool]
    """Whether a file's contents are of this format."""

    load_generator: Callable[[Mapping[str, Any]], tuple[Generator, dict[str, Any]]]
    """The generator that samples are drawn from, and what the file says of it: images, class_names, ..."""


formats: Registry[Format] = Registry("checkpoint format", __name__)


def load_generator(path: str | Path) -> tuple[Generator, dict[str, Any]]:
    """The generator samples are drawn from (of a run: the running average), for evaluation, on the CPU.

    Returns:
        The network, and what the file says of it: images, iteration and class_names, where it does.

    Raises:
        InputError: No such file, or a damaged one, or none of a known format.
    """
    contents = read_tensors(path)
    for format in formats.values():
        if format.recognizes(contents):
            with described(path, format.about):
                generator, about = format.load_generator(contents)
            return generator.eval().requires_grad_(False), about
    known = "; ".join(format.about for format in formats.values())
    raise InputError(f"{path} is a PyTorch file, but none of a known format ({known}). Give another file.")
