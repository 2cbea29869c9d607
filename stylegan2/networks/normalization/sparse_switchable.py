"""Sparse switchable normalization of features (Shao et al. 2019, arXiv 1903.03793)."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .base import in_layers
from .batch import R1_NOTE
from .switchable import SwitchableNorm

CIRCUMRADIUS = math.sqrt(2 / 3)
"""Distance from the center of the simplex of three weights to its vertices."""


@in_layers("sparse_switchable", couples_samples=True, notes={"r1": R1_NOTE, "r2": R1_NOTE})
class SparseSwitchableNorm(SwitchableNorm):
    """Switchable normalization whose weights are sparsestmax(z; r), which end at one of the three.

    The weights keep a distance of at least r from (1/3, 1/3, 1/3). The radius r grows linearly with the images that
    training has seen, up to √(2/3), where the weights are one-hot and no gradient reaches z.

    Args:
        num_features: Number of channels.
        eps: ε.
        momentum: Share of a new batch in the running means.
        affine: Whether there are γ and β.
        radius_kimg: Thousands of images after which the radius is largest.
    """

    radius: Tensor

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float = 0.1,
        affine: bool = True,
        radius_kimg: float = 1000.0,
    ):
        super().__init__(num_features, eps, momentum, affine)
        self.radius_kimg = radius_kimg
        self.register_buffer("radius", torch.zeros([]))

    def advance(self, images: int) -> None:
        """Set the radius that follows from the number of images seen."""
        self.radius.fill_(CIRCUMRADIUS * min(images / (1000 * self.radius_kimg), 1.0))

    def weights(self) -> tuple[Tensor, Tensor]:
        radius = float(self.radius)
        return sparsestmax(self.mean_logits, radius), sparsestmax(self.var_logits, radius)


def sparsemax(z: Tensor) -> Tensor:
    """The point of the simplex that is nearest to z (K,) (Martins and Astudillo 2016, arXiv 1602.02068)."""
    ordered = z.sort(descending=True).values
    excess = ordered.cumsum(0) - 1
    k = torch.arange(1, len(z) + 1, device=z.device, dtype=z.dtype)
    size = int((k * ordered > excess).sum())
    return (z - excess[size - 1] / size).clamp_min(0)


def sparsestmax(z: Tensor, radius: float) -> Tensor:
    """Sparsemax, moved away from the center of the simplex until its distance is at least `radius`.

    If this leaves the simplex, the point is projected onto a face, within which the rest of the distance remains.

    Shape: (3,) -> (3,), sums to 1.
    """
    p = sparsemax(z)
    center = torch.full_like(p, 1 / len(p))
    distance = (p - center).norm()
    if distance >= radius or distance == 0:
        return p
    p = center + (p - center) * (radius / distance)
    if (p >= 0).all():
        return p
    p = sparsemax(p)
    support = p > 0
    if support.sum() == 1:
        return p
    middle = support.to(p.dtype) / support.sum()
    rest = math.sqrt(max(radius**2 - float((middle - center).square().sum()), 0.0))
    along = (p - middle).norm()
    if along == 0:
        return p
    return sparsemax(middle + (p - middle) * (rest / along))
