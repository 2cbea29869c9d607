"""Transfer: a new run starts from the weights of networks that were trained before.

Only weights are taken. Counters, the optimizers' state and the strength of adaptive augmentation start anew.
"""

from __future__ import annotations

import csv
import io
import itertools
from collections.abc import Iterable
from dataclasses import astuple, dataclass, fields
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stylegan2.errors import InputError
from stylegan2.files import write_text
from stylegan2.formats import load
from stylegan2.networks.discriminator import Discriminator

from .module import StyleGAN2

TABLE = "init_from.csv"
"""File in the folder of a run that lists every tensor and what became of it."""


@dataclass(frozen=True)
class Row:
    """What became of one tensor."""

    network: str
    tensor: str
    fate: str
    """taken, converted, newly drawn (only our network has it, or its shape differs) or skipped (only the file)."""

    why: str = ""


def initialize(model: StyleGAN2, path: str | Path, folder: Path | None = None) -> str:
    """Give a model the weights of the networks in a file, wherever they fit.

    A tensor is taken if our network has one of that name and shape. What is kept is the product of a weight and
    its layer's gain, so networks whose scalings differ compute the same. Two kinds of tensors are converted:
    the first mapping layer of a network that gets labels, which ignores them at first, and the layers between
    images and features if the color channels differ. Everything else keeps its newly drawn values.

    Args:
        model: The model at its start. Its generator EMA gets the weights of the file's EMA.
        path: A checkpoint of any format that `stylegan2.formats` reads.
        folder: Folder in which `init_from.csv` lists all tensors. None: no list is written.

    Returns:
        A summary for the user.

    Raises:
        InputError: The file cannot be read, or none of its weights fits.
    """
    theirs = load(path).named()
    rows: list[Row] = []
    for name in ("generator", "generator_ema", "discriminator"):
        ours = getattr(model, name)
        other = {"generator": "generator_ema", "generator_ema": "generator"}.get(name, name)
        source = theirs.get(name, theirs.get(other))
        if ours is None:
            continue
        if source is None:
            rows += [
                Row(name, tensor, "newly drawn", "the file has no such network")
                for tensor in ours.state_dict()
            ]
        else:
            rows += [Row(name, *row) for row in transfer(source, ours)]
    if not any(row.fate in ("taken", "converted") for row in rows if row.tensor.endswith("weight")):
        raise InputError(
            f"Expected networks in {path} that have layers in common with the configured ones, found none of the "
            "same shape. Set model.generator and model.discriminator (channel_base, channel_max, w_dim) as there."
        )
    if folder is not None:
        write_text(folder / TABLE, _csv(rows))
    return _summary(rows)


@torch.no_grad()
def transfer(source: nn.Module, target: nn.Module) -> list[tuple[str, str, str]]:
    """Copy the tensors of a network into another one of its kind, in place.

    Returns:
        For every tensor of either its name, what became of it, and why.
    """
    old, new = source.state_dict(), target.state_dict()
    rows = []
    for name, tensor in new.items():
        if name not in old:
            rows.append((name, "newly drawn", "the file has no such tensor"))
            continue
        shapes = f"shape {_shape(tensor)}, in the file {_shape(old[name])}"
        value = converted(name, old[name].to(tensor), tensor.shape)
        if value is None:
            rows.append((name, "newly drawn", shapes))
            continue
        tensor.copy_(value * (_gain(source, name) / _gain(target, name)))
        same = tensor.shape == old[name].shape
        rows.append((name, "taken", "") if same else (name, "converted", shapes))
    return rows + [(name, "skipped", "our network has no such tensor") for name in old if name not in new]


def converted(name: str, value: Tensor, shape: torch.Size) -> Tensor | None:
    """A tensor in another shape such that the network computes the same as far as possible. None: there is none.

    Args:
        name: Its name, which ends in the names of the layer and of the parameter.
        value: The tensor.
        shape: The shape in which it is wanted.
    """
    if value.shape == shape:
        return value
    if name == "mapping.fc0.weight" and value.shape[0] == shape[0]:  # (w_dim, z_dim + width of the label)
        common = min(value.shape[1], shape[1])
        return F.pad(value[:, :common], (0, shape[1] - common))
    layer, dim = ("torgb", 0) if ".torgb." in name else ("fromrgb", 1)
    if name.endswith((f".{layer}.weight", ".torgb.bias")) and {value.shape[dim], shape[dim]} <= {1, 3, 4}:
        other_sizes = [tuple(s[:dim]) + tuple(s[dim + 1 :]) for s in (value.shape, shape)]
        if other_sizes[0] != other_sizes[1]:
            return None
        if layer == "torgb":
            image: Tensor = torch.tensordot(colors(value.shape[0], shape[0]).to(value), value, dims=1)
            if name.endswith("bias") and len(image) == 4:
                image[3] = 1  # opaque
            return image
        matrix = colors(shape[1], value.shape[1]).to(value)
        kernels: Tensor = torch.tensordot(value, matrix, dims=([1], [0]))  # (out, 1, 1, in)
        return kernels.movedim(-1, 1)
    return None


def colors(before: int, after: int) -> Tensor:
    """The matrix (after, before) that converts the channels of images: gray (1), RGB (3), RGBA (4)."""
    matrix = torch.eye(4, dtype=torch.float64)[:after, :before]
    if before == 1:
        matrix = matrix.new_ones(after, 1)
        matrix[3:] = 0
    elif after == 1:
        matrix = matrix.new_full((1, before), 1 / 3)
        matrix[:, 3:] = 0
    return matrix


def _gain(network: nn.Module, name: str) -> float:
    """The factor on a tensor in its layer's forward pass."""
    path, _, parameter = name.rpartition(".")
    return getattr(network.get_submodule(path), f"{parameter}_gain", 1.0)


def _shape(tensor: Tensor) -> str:
    return "×".join(map(str, tensor.shape)) or "scalar"


def freeze(discriminator: Discriminator, layers: int) -> None:
    """Stop the training of D's first layers, which see the image at its full resolution (Mo et al. 2020, FreezeD).

    Layers count in the order of a forward pass. With the resnet architecture, 4 are those of the first block.

    Raises:
        InputError: D has no more layers than that.
    """
    blocks = [getattr(discriminator, f"b{r}") for r in [*discriminator.resolutions, 4]]
    found = [layer for block in blocks for layer in block.children() if any(True for _ in layer.parameters())]
    if not 0 <= layers < len(found):
        raise InputError(
            f"Expected freeze_d from 0 to {len(found) - 1}, found {layers}: the discriminator has {len(found)} "
            "layers, and one or more must be trained. 4 is a common choice."
        )
    for layer in found[:layers]:
        layer.requires_grad_(False)


def _csv(rows: Iterable[Row]) -> str:
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow([field.name for field in fields(Row)])
    writer.writerows(astuple(row) for row in rows)
    return file.getvalue()


def _summary(rows: list[Row]) -> str:
    """A line for each network, with the blocks or layers that were not taken."""
    lines = []
    for network, group in itertools.groupby(rows, key=lambda row: row.network):
        fates: dict[str, list[str]] = {}
        for row in group:
            fates.setdefault(row.fate, []).append(row.tensor)
        parts = [
            f"{len(names)} tensors {fate}" + ("" if fate == "taken" else f" ({_blocks(names)})")
            for fate, names in fates.items()
        ]
        lines.append(f"{network}: {', '.join(parts)}")
    return "\n".join(lines)


def _blocks(names: list[str]) -> str:
    """The modules that tensors are in: "synthesis.b64", or "mapping.fc0"."""
    modules = dict.fromkeys(".".join(name.split(".")[: 2 if name.count(".") > 1 else 1]) for name in names)
    more = f" and {len(modules) - 4} more" if len(modules) > 4 else ""
    return ", ".join(list(modules)[:4]) + more
