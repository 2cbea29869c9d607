"""What theory predicts for each scaling switched off, beside what is measured on networks with it on and off.

Each claim is a ratio or a number that a derivation of a few lines gives (docs/probe.md has them). Both
networks are built from the same seed, so they share their random weights wherever their shapes agree.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from stylegan2.networks.generator import Generator
from stylegan2.networks.scalings import Scalings
from stylegan2.probing import anatomy
from stylegan2.probing.claims import ABLATIONS, CLAIMS, Pair
from stylegan2.probing.influence import evaluating
from stylegan2.probing.measure import as_found
from stylegan2.training.losses import PathLength
from stylegan2.training.module import StyleGAN2

Build = Callable[[Mapping[str, object], int], StyleGAN2]
"""(options that differ from the configuration, by their name below `model`; seed) to networks and losses."""


@dataclass(frozen=True, kw_only=True)
class Claim:
    """One prediction, and its measurement over seeds."""

    ablation: str
    quantity: str
    predicted: float
    measured: list[float]

    @property
    def mean(self) -> float:
        return statistics.fmean(self.measured)

    @property
    def spread(self) -> float:
        """Standard deviation over seeds; 0 for one."""
        return statistics.stdev(self.measured) if len(self.measured) > 1 else 0.0


def check_theory(
    build: Build, reals: Tensor, labels: Tensor, names: Sequence[str], seeds: Sequence[int] = (0, 1, 2)
) -> list[Claim]:
    """Measure each named ablation's claims at initialisation.

    Args:
        build: Makes networks and losses.
        reals: (N, C, R, R) in [-1, 1].
        labels: (N, num_classes).
        names: Of ABLATIONS.
        seeds: One pair of networks each.
    """
    found: dict[tuple[str, str], tuple[float, list[float]]] = {}
    for seed in seeds:
        for name in names:
            pair = Pair(build({}, seed), build(ABLATIONS[name], seed), reals, labels)
            with as_found(pair.on, seed), evaluating(pair.on.generator), evaluating(pair.off.generator):
                for quantity, predicted, measured in CLAIMS[name](pair):
                    found.setdefault((name, quantity), (predicted, []))[1].append(measured)
    return [
        Claim(ablation=name, quantity=quantity, predicted=predicted, measured=measured)
        for (name, quantity), (predicted, measured) in found.items()
    ]


def path_length_by_resolution(
    config: Mapping, resolutions: Sequence[int], seeds: Sequence[int] = (0, 1, 2), batch: int = 4
) -> list[dict]:
    """Path lengths of fresh generators of several resolutions, else of one configuration.

    Args:
        config: A generator's `config`.
        resolutions: Powers of two.
        seeds: One generator each.
        batch: Latents a generator.

    Returns:
        A row a resolution: `resolution`, and over seeds lists of `with` and `without` normalisation by the
        image's size.
    """
    rows = []
    for resolution in resolutions:
        row = {"resolution": resolution, "with": [], "without": []}
        settings = dict(config) | {"scalings": Scalings(**config["scalings"])}
        settings.pop("resolution")
        for seed in seeds:
            with torch.random.fork_rng():
                torch.manual_seed(seed)
                generator = Generator(resolution, **settings).eval()
                ws = generator.mapping(*anatomy.latents(generator, batch)).detach().requires_grad_()
                y = torch.randn(batch, generator.img_channels, resolution, resolution)
                for key, normalize in (("with", True), ("without", False)):
                    loss = PathLength(normalize_by_image_size=normalize)
                    row[key].append(loss.lengths(generator.synthesis, ws, y).detach().mean().item())
        rows.append(row)
    return rows
