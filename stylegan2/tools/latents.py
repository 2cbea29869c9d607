"""Latents in files, as `stylegan2 project` and the page write them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from stylegan2.errors import InputError
from stylegan2.explore.latents import image_of, truncated
from stylegan2.files import printable
from stylegan2.networks.generator import Generator
from stylegan2.networks.layers import Noise

LARGEST = 2**28
"""Bytes of the largest file that is read."""


@dataclass(frozen=True)
class Latent:
    """One latent of a file."""

    name: str
    """The name of the file without its end, and a number if the file holds several."""

    ws: Tensor
    """(num_ws, w_dim)."""

    noise: Mapping[str, Tensor]
    """Noise maps (H, W) that take the place of the stored ones, by the names of their buffers."""

    def image(self, network: Generator, psi: float, cutoff: int | None, noise: Noise) -> Tensor:
        """The image (C, H, W), on the CPU. Truncation goes towards `w_avg`."""
        ws = truncated(self.ws[None], network.mapping.w_avg, psi, cutoff)[0]
        before = {name: network.synthesis.get_buffer(name) for name in self.noise}
        try:
            _set(network, self.noise)
            return image_of(network, ws, noise)
        finally:
            _set(network, before)


def read_latents(paths: Sequence[str], network: Generator) -> list[Latent]:
    """Read the latents of files, in this order.

    Raises:
        InputError: A file is missing, is no safetensors file, or holds nothing that fits the network.
    """
    found = []
    for path in paths:
        tensors = _read(Path(path).expanduser(), path)
        ws = tensors.get("ws", torch.zeros(0))
        ws = ws[None] if ws.ndim == 2 else ws
        like = network.mapping.w_avg
        if ws.ndim != 3 or ws.shape[1:] != (network.num_ws, len(like)) or not ws.isfinite().all():
            raise InputError(
                f"--latent expects finite ws of shape ({network.num_ws}, {len(like)}) for this network, found "
                f"{tuple(ws.shape) if ws.numel() else 'none'} in {printable(path)}. Give a file of this network."
            )
        noise, stem = _noise(tensors, network, path), Path(path).stem
        for number, one in enumerate(ws.to(like)):
            found.append(Latent(stem if len(ws) == 1 else f"{stem}-{number}", one, noise))
    if len({latent.name for latent in found}) < len(found):
        raise InputError("--latent expects files of different names, found one name twice. Rename a file.")
    return found


def _read(path: Path, given: str) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        if path.stat().st_size > LARGEST:
            raise InputError(
                f"--latent expects files of at most {LARGEST >> 20} MB, found that {printable(given)} is larger."
            )
        return load_file(path)
    except (OSError, SafetensorError, ValueError) as error:
        raise InputError(
            f"--latent expects safetensors files, found that {printable(given)} cannot be read as one "
            f"({printable(str(error))})."
        ) from error


def _noise(tensors: Mapping[str, Tensor], network: Generator, path: str) -> dict[str, Tensor]:
    """The noise maps of a file, by the names of the buffers that they replace."""
    stored = dict(network.synthesis.named_buffers())
    maps = {}
    for name, value in tensors.items():
        if not name.startswith("noise."):
            continue
        buffer = f"{name.removeprefix('noise.')}.noise_const"
        if buffer not in stored or stored[buffer].shape != value.shape:
            raise InputError(
                f"--latent expects noise maps of this network, found {printable(name)} of shape "
                f"{tuple(value.shape)} in {printable(path)}. Give a file of this network, without --wide."
            )
        maps[buffer] = value.to(stored[buffer])
    return maps


def _set(network: Generator, buffers: Mapping[str, Tensor]) -> None:
    for name, value in buffers.items():
        layer, _, last = name.rpartition(".")
        setattr(network.synthesis.get_submodule(layer), last, value)
