"""Untrained networks with a normalization in G and in D: signal over depth, and exponents over size."""

from __future__ import annotations

import math
from statistics import geometric_mean
from typing import Any

import numpy as np
import torch
from torch import Tensor

from stylegan2.ablation.run.one import rms_of_layers
from stylegan2.coordinates.fit import slope
from stylegan2.coordinates.measure import labels_in_turn, measure_networks, smooth
from stylegan2.coordinates.plan import Axis, Size, change
from stylegan2.networks.discriminator import Discriminator
from stylegan2.networks.generator import Generator
from stylegan2.networks.normalization.base import changes_features, normalizations
from stylegan2.training.regularizers.path_length import PathLength

DEEP = tuple(Size(width=16, resolution=r, batch=4, latent_dim=16) for r in (8, 16, 32))
AXES = {
    "width": Axis(
        about="feature maps, and the width of w",
        x=(16, 32, 64),
        sizes=tuple(Size(width=n, resolution=8, batch=4, latent_dim=16) for n in (16, 32, 64)),
    ),
    "depth": Axis(about="residual blocks of D", x=(1, 2, 3), sizes=DEEP, is_power=False),
    "batch": Axis(
        about="images per batch",
        x=(4, 8, 16),
        sizes=tuple(Size(width=16, resolution=8, batch=n, latent_dim=16) for n in (4, 8, 16)),
    ),
    "resolution": Axis(about="pixels", x=tuple(s.resolution**2 for s in DEEP), sizes=DEEP),
}
"""Small sizes. Depth and resolution grow together, because a block doubles the side."""

STEP = change(1)
QUANTITIES = {"generator": ("image", "path length"), "discriminator": ("D features", STEP, "R1")}
"""What is measured of each network."""

PREDICTIONS: dict[str, dict[str, float]] = {
    # As without a normalization: sums keep their size, and a step of Adam moves aligned weights by √fan_in.
    "width": {"image": 0, "path length": 0, "D features": 0, STEP: 0.5},
    # What is normalized has the same size after every block. Kernels alone cannot promise this.
    "depth": {"D features": 0},
    "batch": {"image": 0, "path length": 0, "D features": 0, "R1": 0},
    # A logit is a mean over pixels.
    "resolution": {"R1": -1},
}


def settings(name: str, network: str) -> dict[str, Any] | None:
    """Options that put a normalization in the place of demodulation in G, or of none in D.

    Returns:
        Options of the network, with two classes where it reads labels. None: it cannot be there.
    """
    kind = normalizations[name]
    if network == "generator":
        return {"normalization": name}
    if kind.needs_styles:
        return None
    return {"normalization": name} | ({"num_classes": 2} if kind.conditional else {})


def depth(name: str, *, resolution: int, width: int, seeds: int) -> dict[str, dict[str, float]]:
    """Rms after each block at the start in training mode, by network and block, from the input on.

    The discriminator reads smooth images of rms 1, and the generator latents. Geometric means over seeds.
    """
    batch = 8
    options: dict[str, Any] = {"channel_base": width * resolution, "channel_max": width, "mapping_layers": 2}
    found = {}
    for network in QUANTITIES:
        chosen, rows = settings(name, network), []
        if chosen is None:
            continue
        for seed in range(seeds):
            torch.manual_seed(seed)
            if network == "generator":
                g = Generator(resolution, z_dim=width, w_dim=width, **options, **chosen)
                inputs: tuple[Tensor | None, ...] = (torch.randn(batch, width),)
                _, rms = rms_of_layers(g, inputs, r"synthesis\.b\d+", training=True)
            else:
                d = Discriminator(resolution, **options, **chosen)
                inputs = (smooth(batch, resolution), labels_in_turn(batch, d.num_classes))
                _, rms = rms_of_layers(d, inputs, r"b(?!4$)\d+|b4\.conv", training=True)
            rows.append({key.removeprefix("synthesis.").removesuffix(".conv"): v for key, v in rms.items()})
        found[network] = {key: geometric_mean(max(row[key], 1e-30) for row in rows) for key in rows[0]}
    return found


def gain(rms: dict[str, float]) -> float:
    """The factor by which the signal grows from one block to the next, as a geometric mean over blocks."""
    values = list(rms.values())
    return (values[-1] / values[0]) ** (1 / (len(values) - 1)) if len(values) > 1 else math.nan


def exponents(name: str, seeds: int) -> dict[str, dict[str, dict[str, float | None]]]:
    """Coordinate check: how quantities of untrained networks grow along each axis, by axis and quantity.

    Each entry has "mean" (the exponent, or the logarithm to base 2 for each block along depth), "half_width" of
    its 95 % interval over seeds, and "predicted", which is None where theory promises nothing.
    """
    kind = normalizations[name]
    g, d = settings(name, "generator"), settings(name, "discriminator")
    lengths = None if "path_length" in kind.refuses else PathLength()
    sizes = {size for axis in AXES.values() for size in axis.sizes}
    measured = {
        (size, seed): measure_networks(
            size, seed, generator=g or {}, discriminator=d or {}, path_length=lengths, steps=(1,)
        )
        for size in sorted(sizes, key=repr)
        for seed in range(seeds)
    }
    quantities = [
        q
        for network, named in QUANTITIES.items()
        if settings(name, network) is not None
        for q in named
        if q != "path length" or lengths
    ]
    found: dict[str, dict[str, dict[str, float | None]]] = {}
    for over, axis in AXES.items():
        found[over] = {}
        for q in quantities:
            values = np.array([[measured[size, seed][q] for size in axis.sizes] for seed in range(seeds)])
            predicted = PREDICTIONS[over].get(q)
            if over == "depth" and not changes_features(kind):
                predicted = None
            s = slope(axis, values, name, q, predicted)
            found[over][q] = {"mean": s.mean, "half_width": s.half_width, "predicted": s.predicted}
    return found
