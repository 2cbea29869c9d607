"""How many seeds and hours a study needs in order to see an effect, and which effect it can see."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from stylegan2.ablation.statistics.controls import dunnett_seeds, variances
from stylegan2.ablation.statistics.moderation import ALPHA, SHARE, Array, critical, moderate
from stylegan2.errors import InputError

TYPICAL_NOISE = 0.35
"""Standard deviation between seeds of the logarithm of the quality distance, in the study of the demo
(docs/ablations). It is assumed as long as there is no pilot."""

TYPICAL_SHARED = 0.5
"""Share of the variance between seeds that runs of one seed have in common, assumed as long as there is no pilot."""

MOST_SEEDS = 1000


@dataclass(frozen=True, kw_only=True)
class Pilot:
    """What a study that has run says about the next."""

    comparisons: int
    noise: float
    """Standard deviation of a paired difference of logarithms."""
    correlation: float
    """Correlation of two comparisons with one control."""
    shared: float
    """Share of the control's variance between seeds that all runs of a seed have in common, from 0 to below 1."""
    seconds: float
    """Duration of one run."""


def pilot(differences: Array, runs: Array, comparisons: int, seconds: float) -> Pilot:
    """The typical noise of a study.

    Args:
        differences: Paired differences (K, n). NaN: a run is missing.
        runs: Logarithms of the control, in the first row, and of the variants (K + 1, n).
        comparisons: Number of comparisons of the planned study.
        seconds: Duration of one run.

    Raises:
        InputError: No variant has two seeds.
    """
    found = moderate(differences)
    count = np.isfinite(differences).sum(axis=-1)
    variance = (found.error**2 * count)[count > 1]
    if not len(variance):
        raise InputError(
            "Expected a pilot with two finished seeds or more, of the default and of a variant, found fewer. Run a "
            "short study first, such as --fields residual_gain,noise --seeds 3, and then --detect with its --out."
        )
    noise, correlation = math.sqrt(float(variance.mean())), float(found.correlation)
    shared, own = map(float, variances(runs))
    return Pilot(
        comparisons=comparisons,
        noise=noise,
        correlation=correlation,
        shared=shared / (shared + own) if math.isfinite(shared) and shared + own > 0 else 1.0,
        seconds=seconds,
    )


def control_seeds(seeds: int, pilot: Pilot) -> int:
    """The number of seeds of the control by Dunnett's rule."""
    return dunnett_seeds(seeds, pilot.comparisons)


def smallest_effect(seeds: int, pilot: Pilot, power: float = 0.8, control: int | None = None) -> float:
    """The ratio of distances that a study of so many seeds finds with probability `power`. Infinite below 2.

    Args:
        seeds: Number of seeds of a variant.
        pilot: How much runs vary.
        power: Probability of finding the effect.
        control: Number of seeds of the control. None: by Dunnett's rule.
    """
    if seeds < 2:
        return math.inf
    extra = (control or control_seeds(seeds, pilot)) - seeds
    own = pilot.correlation * pilot.noise**2  # of the control, besides what seeds share
    total = own / max(1 - pilot.shared, 1e-9)
    b = (1 - pilot.shared) * extra / (seeds + extra)
    # As in `controls`: the variances of the differences, and of the control's further runs.
    paired = (pilot.noise**2 - own + (1 - b) ** 2 * own + b**2 * (total - own)) / seeds
    added = b**2 * total / extra if extra else 0.0
    freedom = (1 + SHARE * max(1 - 3 / pilot.comparisons, 0)) * (seeds - 1)
    if added:
        freedom = (paired + added) ** 2 / (paired**2 / freedom + added**2 / (seeds + extra - 1))
    t = critical(freedom, pilot.correlation, pilot.comparisons, ALPHA)
    return math.exp(float(t + stats.t.isf(1 - power, freedom)) * math.sqrt(paired + added))


def seeds_needed(effect: float, pilot: Pilot, power: float = 0.8) -> int:
    """The smallest number of seeds with which the effect, a ratio above 1, is found with probability `power`.

    Raises:
        InputError: It takes more than 1000 seeds.
    """
    for seeds in range(2, MOST_SEEDS + 1):
        if smallest_effect(seeds, pilot, power) <= effect:
            return seeds
    raise InputError(
        f"An effect of ×{effect:g} takes more than {MOST_SEEDS} seeds. Ask for a larger one with --detect."
    )


def runs(seeds: int, variants: int, pilot: Pilot) -> int:
    """The number of runs of a study with so many seeds and variants, the default among them."""
    return seeds * (variants - 1) + control_seeds(seeds, pilot)


def duration(runs: int, pilot: Pilot, parallel: int) -> float:
    """Seconds of so many runs, `parallel` at a time."""
    return math.ceil(runs / parallel) * pilot.seconds


def outlook(pilot: Pilot, variants: int, parallel: int, seeds: Sequence[int]) -> list[list[str]]:
    """Rows (seeds, those of the default, runs, hours, smallest effect) of a table, for several numbers of seeds."""
    return [
        [
            str(n),
            str(control_seeds(n, pilot)),
            str(runs(n, variants, pilot)),
            f"{duration(runs(n, variants, pilot), pilot, parallel) / 3600:.2g}",
            f"×{smallest_effect(n, pilot):.2f}",
        ]
        for n in seeds
    ]
