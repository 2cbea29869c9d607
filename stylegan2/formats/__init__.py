"""Formats of checkpoint files, our own and others. Reading one runs no code that it contains.

A format is one registered object of class `Format`, in a file of this package or in a user's module.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from stylegan2.errors import InputError
from stylegan2.networks.discriminator import Discriminator
from stylegan2.networks.generator import Generator
from stylegan2.registry import Registry

from .reading import read_contents
from .tensors import described


@dataclass(kw_only=True)
class Networks:
    """The networks of a file, on the CPU."""

    generator: Generator
    """The generator for sampling, which is G_ema if the file has one."""

    discriminator: Discriminator | None = None
    """The discriminator, if the file has one."""

    raw_generator: Generator | None = None
    """The generator that was trained, if the file has it besides its running average."""

    about: dict[str, Any] = field(default_factory=dict)
    """Plain data about the networks, such as images, class_names and data."""

    remarks: list[str] = field(default_factory=list)
    """Sentences about what the file does not say, and what takes its place."""

    @property
    def samples_from(self) -> str:
        """The name of the generator for sampling in our own files, which is "generator" without an average."""
        alone = self.raw_generator is None and self.about.get("samples_from") == "generator"
        return "generator" if alone else "generator_ema"

    def named(self) -> dict[str, Generator | Discriminator]:
        """The networks by the names that our own files use."""
        named: dict[str, Generator | Discriminator] = {self.samples_from: self.generator}
        if self.raw_generator is not None:
            named["generator"] = self.raw_generator
        if self.discriminator is not None:
            named["discriminator"] = self.discriminator
        return named

    def tensors(self) -> dict[str, Tensor]:
        """All parameters and buffers by the names that our own files use."""
        return {
            f"{prefix}.{name}": value
            for prefix, network in self.named().items()
            for name, value in network.state_dict().items()
        }


@dataclass(frozen=True, kw_only=True)
class Format:
    """One way to store networks in a file."""

    about: str
    """What a file of this format is called in messages."""

    suffix: str = ""
    """The end of the names of files that are written in this format. Files are recognized by their contents."""

    recognizes: Callable[[Mapping[Any, Any]], bool] = lambda contents: False
    """Tells from the contents of a file, as `read_contents` gives them, whether it has this format."""

    load: Callable[[Mapping[Any, Any]], Networks] | None = None
    """Makes the networks from the contents of a file. It raises `InputError` if it refuses them."""

    write: Callable[[Networks, Path], list[str]] | None = None
    """Writes the networks to a file, and returns sentences about what the format does not hold. It raises
    `InputError` if the format cannot hold the networks at all."""

    run: Callable[[Path], Callable[..., Any]] | None = None
    """For a format that is only written: loads a file as a function (z, psi, c) -> images of arrays."""


formats: Registry[Format] = Registry("checkpoint format", __name__)


def load(path: str | Path) -> Networks:
    """Load the networks from a file of any known format, in evaluation mode.

    Raises:
        InputError: The file does not exist, is damaged, or has no known format.
    """
    contents = read_contents(path)
    for format in formats.values():
        if format.load is not None and format.recognizes(contents):
            with described(path, format.about):
                networks = format.load(contents)
                _check_finite(networks)
            for network in networks.named().values():
                network.eval()
            return networks
    known = ", ".join(format.about for format in formats.values() if format.load is not None)
    raise InputError(
        f"Expected one of these: {known}. Found that {path} holds something else. Give another file."
    )


def load_generator(path: str | Path) -> tuple[Generator, dict[str, Any]]:
    """Load the generator for sampling from a file of any known format.

    From a checkpoint of a run this is the generator EMA, if the run kept one.

    Returns:
        The network on the CPU in evaluation mode, without gradients, and the file's information about it.
        Our own checkpoints give `images`, `iteration` and `class_names`, among others.

    Raises:
        InputError: The file does not exist, is damaged, or has no known format.
    """
    networks = load(path)
    return networks.generator.requires_grad_(False), networks.about


def _check_finite(networks: Networks) -> None:
    """Refuse networks with NaN or infinity, which damaged files and diverged runs give.

    Raises:
        ValueError: A number is not finite.
    """
    for name, tensor in networks.tensors().items():
        if not tensor.isfinite().all():
            raise ValueError(f"{name} holds NaN or infinity")
