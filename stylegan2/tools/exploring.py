"""What the commands that explore a network share: opening it, and options that several of them have."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import chain
from typing import Any

import torch

from stylegan2.errors import InputError
from stylegan2.explore.centers import cluster_centers
from stylegan2.explore.directions import Edit, parse_edits, read_directions
from stylegan2.explore.panorama import widened
from stylegan2.files import printable
from stylegan2.formats import load_generator
from stylegan2.networks.generator import Generator

from .computing import chosen_device
from .labels import Label, parse_numbers, read_labels

MOST = 10_000
"""Most seeds of one command."""


@dataclass(frozen=True)
class Opened:
    """A network on its device, with the labels that the options choose."""

    network: Generator
    labels: list[Label]
    about: dict[str, Any]

    def label_rows(self, count: int) -> torch.Tensor:
        """Labels (count, num_classes), the chosen ones in turn."""
        return torch.stack([self.labels[k % len(self.labels)].vector for k in range(count)])

    def clusters(self, count: int | None) -> torch.Tensor | None:
        """Centers of clusters of w (count, w_dim), for truncation. None: none are asked for.

        Raises:
            InputError: The number is out of range.
        """
        if count is None:
            return None
        check_count("--centers", count, 1, 1000)
        labels = self.label_rows(len(self.labels)) if self.network.num_classes else None
        return cluster_centers(self.network, count, labels)


def open_network(
    checkpoint: str, classes: str | None, label: str | None, device: str, wide: int = 1
) -> Opened:
    """Load the generator of a file of any format, and repeat its constant `wide` times.

    Raises:
        InputError: The file holds no generator, or labels or device do not fit.
    """
    check_count("--wide", wide, 1, 64)
    network, about = load_generator(checkpoint)
    labels = read_labels(network.num_classes, about.get("class_names"), classes, label)
    network = widened(network, wide) if wide > 1 else network
    return Opened(network.to(chosen_device(device)), labels, about)


def listed(text: str, option: str, most: int = MOST) -> list[int]:
    """ "0-3,42" as numbers.

    Raises:
        InputError: Anything else, or too many.
    """
    numbers = parse_numbers(text, option)
    if sum(map(len, numbers)) > most:
        raise InputError(f"{option} expects at most {most:,} numbers, found {sum(map(len, numbers)):,}.")
    return list(chain(*numbers))


def layer_range(text: str | None, network: Generator, option: str = "--layers") -> range:
    """ "4-7" as rows of ws. None: all.

    Raises:
        InputError: It is no range of the network's layers.
    """
    if text is None:
        return range(network.num_ws)
    numbers = listed(text, option, most=1000)
    if numbers != list(range(numbers[0], numbers[-1] + 1)) or numbers[-1] >= network.num_ws:
        raise InputError(
            f"{option} expects layers from 0 to {network.num_ws - 1}, such as 0-3, found {printable(text)}."
        )
    return range(numbers[0], numbers[-1] + 1)


def read_edits(edit: str | None, directions: str, network: Generator) -> list[Edit]:
    """The edits of the options --edit and --directions.

    Raises:
        InputError: There is no such file or direction.
    """
    return [] if edit is None else parse_edits(edit, read_directions(directions, network))


def check_truncation(psi: float, cutoff: int | None = None, centers: int | None = None) -> None:
    """Raises InputError if truncation is out of range, or goes towards centers without going anywhere."""
    if not math.isfinite(psi):
        raise InputError(f"--psi expects a finite number, found {psi}. 1 is no truncation.")
    if cutoff is not None and cutoff < 0:
        raise InputError(
            f"--cutoff expects a number of layers, 0 or more, found {cutoff}. Leave it out for all."
        )
    if centers is not None and psi == 1:
        raise InputError("--centers expects truncation, found --psi 1, which is none. Try --psi 0.7.")


def check_count(option: str, value: int, least: int, most: int) -> None:
    """Raises InputError if a number is out of range."""
    if not least <= value <= most:
        raise InputError(f"{option} expects a number from {least:,} to {most:,}, found {value:,}.")
