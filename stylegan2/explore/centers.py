"""Centers of W: what truncation goes towards, one for each cluster of w."""

from __future__ import annotations

import torch
from torch import Tensor

from stylegan2.networks.generator import Generator

from .latents import sample_w

ROUNDS = 100
"""Most rounds of k-means."""


def cluster_centers(
    network: Generator, count: int, labels: Tensor | None = None, samples: int = 10_000, seed: int = 0
) -> Tensor:
    """Centers (count, w_dim) of clusters of w, by k-means (multi-modal truncation, Mokady et al. 2022).

    Truncation towards the nearest center keeps more of the variety of a diverse data set than truncation towards one
    mean, which lies between its modes.

    Args:
        network: The generator.
        count: Number of centers.
        labels: (K, num_classes), which the samples take in turn. None: every class.
        samples: Number of latents.
        seed: Seed of the latents and of the first centers.
    """
    return k_means(sample_w(network, samples, labels, seed), count, seed)


def k_means(points: Tensor, count: int, seed: int = 0) -> Tensor:
    """Lloyd's algorithm (1982) from starting points by k-means++ (Arthur and Vassilvitskii 2007).

    Args:
        points: (N, D).
        count: Number of centers, at most N.
        seed: Of the random choice of starting points.

    Returns:
        The centers (count, D), the ones with most points first.
    """
    random = torch.Generator().manual_seed(seed)
    centers = points[torch.randint(len(points), (1,), generator=random)]
    while len(centers) < count:
        weights = torch.cdist(points, centers).amin(dim=1).square().cpu().double()
        if weights.sum() == 0:  # fewer different points than centers
            weights = torch.ones_like(weights)
        centers = torch.cat([centers, points[torch.multinomial(weights, 1, generator=random)]])
    of = torch.cdist(points, centers).argmin(dim=1)
    for _ in range(ROUNDS):
        chosen = [points[of == k] for k in range(count)]
        centers = torch.stack([p.mean(dim=0) if len(p) else centers[k] for k, p in enumerate(chosen)])
        before, of = of, torch.cdist(points, centers).argmin(dim=1)
        if torch.equal(before, of):
            break
    return centers[torch.bincount(of, minlength=count).argsort(descending=True)]


def nearest(points: Tensor, centers: Tensor) -> Tensor:
    """The nearest of the centers (K, D) to each point (N, D): (N, D)."""
    return centers[torch.cdist(points, centers).argmin(dim=1)]
