"""Directions in W along which images change, found without labels, and edits along them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from stylegan2.errors import InputError
from stylegan2.files import printable
from stylegan2.formats.reading import METADATA, read_contents
from stylegan2.formats.tensors import write_safetensors
from stylegan2.networks.generator import Generator
from stylegan2.networks.layers import SynthesisLayer, ToRGBLayer

from .latents import sample_w

KEY = "stylegan2_directions"
"""Key of the settings in the metadata of a file."""

Method = Literal["sefa", "pca"]


@dataclass(frozen=True)
class Directions:
    """Directions in W by name, in the order of their importance."""

    vectors: Mapping[str, Tensor]
    """(w_dim,) each. Its length is one standard deviation of w along it, so strengths from -3 to 3 are usual."""

    rows: range
    """Rows of ws that an edit changes."""

    num_ws: int
    """Number of rows that ws of the network has."""

    method: str
    """How they were found."""


@dataclass(frozen=True)
class Edit:
    """A move along a direction, of strength `start` that becomes `end` during a video."""

    vector: Tensor
    rows: range
    start: float
    end: float

    def applied(self, ws: Tensor, part: float = 0.0) -> Tensor:
        """ws (N, num_ws, w_dim) after the edit, at a part from 0 to 1 of a video."""
        moved = torch.zeros_like(ws)
        moved[:, list(self.rows)] = (self.start + part * (self.end - self.start)) * self.vector.to(ws)
        return ws + moved


def modulation_weights(network: Generator, rows: range) -> Tensor:
    """The weights of the affine layers that take the given rows of ws, below each other: (S, w_dim)."""
    found = []
    for number, resolution in enumerate(network.synthesis.resolutions):
        block = getattr(network.synthesis, f"b{resolution}")
        first = 2 * number - 1 if number else 0
        layers = [block.conv1, block.torgb] if number == 0 else [block.conv0, block.conv1, block.torgb]
        for row, layer in enumerate(layers, first):
            if isinstance(layer, SynthesisLayer | ToRGBLayer) and row in rows:
                found.append(layer.affine.weight.detach() * layer.affine.weight_gain)
    return torch.cat(found)


def sefa(network: Generator, rows: range, count: int = 10) -> Tensor:
    """Closed-form factorization (Shen and Zhou 2021): unit vectors (count, w_dim) that change styles the most.

    A step n in W changes the styles by A·n, where A are the weights of the affine layers. The unit vectors that
    maximize |A·n|², each orthogonal to those before, are the eigenvectors of AᵀA with the largest eigenvalues.
    """
    a = modulation_weights(network, rows).double()
    _, vectors = torch.linalg.eigh(a.T @ a)
    return _signed(vectors.flip(1).T[:count]).to(a.device, torch.float32)


def pca(network: Generator, count: int = 10, samples: int = 20_000, seed: int = 0) -> Tensor:
    """Principal components of w (Härkönen et al. 2020, GANSpace): unit vectors (count, w_dim).

    Args:
        network: The generator.
        count: Number of components.
        samples: Number of latents. Labels of a conditional network take turns.
        seed: Seed of the latents.
    """
    w = sample_w(network, samples, seed=seed).double()
    w = w - w.mean(dim=0)
    _, vectors = torch.linalg.eigh(w.T @ w)
    return _signed(vectors.flip(1).T[:count]).float()


def find_directions(
    network: Generator,
    method: Method,
    rows: range | None = None,
    count: int = 10,
    samples: int = 20_000,
    seed: int = 0,
) -> Directions:
    """Directions by one of the methods, named sefa0, sefa1, ... or pca0, pca1, ...

    Args:
        network: The generator.
        method: sefa or pca.
        rows: Rows of ws that an edit changes, and whose layers sefa looks at. None: all.
        count: Number of directions, at most w_dim.
        samples: Number of latents, for pca and for the standard deviation of w along each direction.
        seed: Seed of the latents.
    """
    rows = range(network.num_ws) if rows is None else rows
    units = sefa(network, rows, count) if method == "sefa" else pca(network, count, samples, seed)
    w = sample_w(network, samples, seed=seed)
    deviations = (w @ units.to(w).T).std(dim=0)
    vectors = (deviations[:, None] * units.to(w)).cpu()
    named = {f"{method}{k}": vector for k, vector in enumerate(vectors)}
    return Directions(named, rows, network.num_ws, method)


def write_directions(directions: Directions, path: str | Path) -> None:
    """Write directions to a safetensors file: a vector for each name, and settings in its metadata."""
    settings = {
        "names": list(directions.vectors),
        "rows": [directions.rows.start, directions.rows.stop],
        "num_ws": directions.num_ws,
        "method": directions.method,
    }
    write_safetensors(directions.vectors, path, {KEY: json.dumps(settings)})


def read_directions(path: str | Path, network: Generator) -> Directions:
    """Read directions for a network.

    Raises:
        InputError: There is no such file, it holds something else, or it belongs to another kind of network.
    """
    if not Path(path).is_file():
        raise InputError(
            f"Expected a file of directions at {printable(str(path))}, found no such file. Make one: "
            "stylegan2 directions --checkpoint FILE --out directions.safetensors"
        )
    contents = read_contents(path)
    try:
        settings = json.loads(contents[METADATA][KEY])
        vectors = {name: contents[name] for name in settings["names"]}
        rows, num_ws, method = range(*settings["rows"]), int(settings["num_ws"]), str(settings["method"])
        widths = {tuple(vector.shape) for vector in vectors.values()}
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(
            f"Expected a file that `stylegan2 directions` wrote, found that {path} holds something else."
        ) from error
    if widths != {(network.w_dim,)} or num_ws != network.num_ws or rows.stop > num_ws:
        raise InputError(
            f"Expected directions for a network with {network.num_ws} rows of {network.w_dim} numbers, found that "
            f"those in {path} belong to another network. Find them again: stylegan2 directions."
        )
    return Directions(vectors, rows, num_ws, method)


def parse_edits(text: str, directions: Directions) -> list[Edit]:
    """ "smile=2.5,age=-1..1" as edits. A number in place of a name is a direction's place in the file.

    Raises:
        InputError: A name is none of the directions', or a strength is no finite number or range.
    """
    edits, names = [], list(directions.vectors)
    for part in text.split(","):
        name, _, strength = (word.strip() for word in part.rpartition("="))
        if name not in names and name.isdecimal() and int(name) < len(names):
            name = names[int(name)]
        if name not in names:
            known = ", ".join(map(printable, names))
            raise InputError(
                f"--edit expects one of the directions {known}, as in {names[0]}=2.5, found {printable(part)}."
            )
        start, end = parse_interval(strength, "--edit")
        edits.append(Edit(directions.vectors[name], directions.rows, start, end))
    return edits


def parse_interval(text: str, option: str) -> tuple[float, float]:
    """ "2" or "-1..1" as two numbers, which are the same for one.

    Raises:
        InputError: It is neither.
    """
    try:
        numbers = [float(part) for part in text.split("..", 1)]
    except ValueError:
        numbers = []
    if not numbers or not torch.tensor(numbers).isfinite().all():
        raise InputError(
            f"{option} expects a number such as 2.5 or a range such as -1..1, found {printable(text)}."
        )
    return numbers[0], numbers[-1]


def renamed(directions: Directions, names: Sequence[tuple[int, str]]) -> Directions:
    """The directions with other names for some places.

    Raises:
        InputError: There is no such place, or two directions would have one name.
    """
    now = list(directions.vectors)
    for place, name in names:
        if place >= len(now):
            raise InputError(f"--names expects places below {len(now)}, found {place}.")
        now[place] = name
    if len(set(now)) < len(now):
        raise InputError(f"--names expects different names, found {', '.join(map(printable, now))}.")
    vectors = dict(zip(now, directions.vectors.values()))
    return Directions(vectors, directions.rows, directions.num_ws, directions.method)


def _signed(vectors: Tensor) -> Tensor:
    """The vectors with the sign that makes their largest element positive, so that every computer has the same."""
    largest = vectors.gather(1, vectors.abs().argmax(dim=1, keepdim=True))
    return vectors * largest.sign()
