"""Latents and what becomes of them: the z of a seed, truncation, and the image of ws."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from stylegan2.errors import InputError
from stylegan2.networks.generator import Generator
from stylegan2.networks.layers import Noise


def latent(network: Generator, seed: int) -> Tensor:
    """The z (1, z_dim) of a seed, which is the one that the official implementation draws."""
    z = np.random.RandomState(seed).randn(1, network.z_dim)
    return torch.from_numpy(z).to(next(network.parameters()))


def labels_on(network: Generator, labels: Tensor | None, count: int) -> Tensor:
    """Labels (count, num_classes) on the network's device. None is zero, which only networks without labels take.

    Raises:
        InputError: A network with labels gets none.
    """
    if labels is None and network.num_classes:
        raise InputError(
            f"Expected labels of {network.num_classes} numbers for a network with classes, found none."
        )
    rows = torch.zeros(count, 0) if labels is None else labels
    return rows.to(next(network.parameters()))


@torch.no_grad()
def w_of(network: Generator, z: Tensor, labels: Tensor | None = None) -> Tensor:
    """The w (N, w_dim) of latents z (N, z_dim) and labels (N, num_classes), without truncation.

    Rows are mapped one at a time, because matrix products round differently for other batch sizes.
    """
    rows = zip(z, labels_on(network, labels, len(z)))
    return torch.cat([network.mapping(z_i[None], c[None], update_w_avg=False)[:, 0] for z_i, c in rows])


@torch.no_grad()
def sample_w(network: Generator, count: int, labels: Tensor | None = None, seed: int = 0) -> Tensor:
    """The w (count, w_dim) of random latents.

    Args:
        network: The generator.
        count: Number of latents.
        labels: (K, num_classes), used in turn. None: every class in turn, as one-hot labels.
        seed: Seed of the latents.
    """
    parameter = next(network.parameters())
    z = torch.randn(count, network.z_dim, generator=torch.Generator().manual_seed(seed)).to(parameter)
    if labels is None and network.num_classes:
        labels = torch.eye(network.num_classes)
    rows = None if labels is None else labels[torch.arange(count) % len(labels)]
    chunks = zip(z.split(1000), labels_on(network, rows, count).split(1000))
    return torch.cat([network.mapping(a, c, update_w_avg=False)[:, 0] for a, c in chunks])


def truncated(ws: Tensor, center: Tensor, psi: float = 1.0, cutoff: int | None = None) -> Tensor:
    """Move the first `cutoff` rows of ws (N, rows, w_dim) towards a center (w_dim,) or (N, w_dim): SG1 app. B.

    Args:
        ws: One w for each layer.
        center: What psi = 0 gives.
        psi: 1 changes nothing.
        cutoff: Number of rows from the coarsest. None: all.
    """
    if psi == 1:
        return ws
    near = center.unsqueeze(-2).lerp(ws[:, :cutoff], psi)
    return near if cutoff is None else torch.cat([near, ws[:, cutoff:]], dim=1)


@torch.no_grad()
def image_of(network: Generator, ws: Tensor, noise: Noise = "const", seed: int = 0) -> Tensor:
    """The image (C, H, W) of ws (num_ws, w_dim), on the CPU, nominally in [-1, 1]. `seed` draws random noise."""
    devices = [ws.device] if ws.is_cuda else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        return network.synthesis(ws[None], noise)[0].cpu()
