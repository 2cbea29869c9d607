"""How many seeds and hours a study needs in order to see an effect, and which effect it can see."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from stylegan2.ablation.statistics import ALPHA, SHARE, Array, critical, moderate
from stylegan2.errors import InputError

TYPICAL_NOISE = 0.35
"""Standard deviation between seeds of the logarithm of the quality distance, in the study of the demo
(docs/ablations). It is assumed as long as there is no pilot."""

MOST_SEEDS = 1000


@dataclass(frozen=True, kw_only=True)
class Pilot:
    """What a study that has run says about the next."""

    comparisons: int
    noise: float
    """Standard deviation of a paired difference of logarithms."""
    correlation: float
    """Correlation of two comparisons with one control."""
    seconds: float
    """Duration of one run."""


def pilot(differences: Array, comparisons: int, seconds: float) -> Pilot:
    """The typical noise of a study.

    Args:
        differences: Paired differences (K, n). NaN: a run is missing.
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
    return Pilot(
        comparisons=comparisons,
        noise=math.sqrt(float(variance.mean())),
        correlation=float(found.correlation),
        seconds=seconds,
    )


def smallest_effect(seeds: int, pilot: Pilot, power: float = 0.8) -> float:
    """The ratio of distances that a study of so many seeds finds with probability `power`. Infinite below 2."""
    if seeds < 2:
        return math.inf
    share = SHARE * max(1 - 3 / pilot.comparisons, 0)
    freedom = (1 + share) * (seeds - 1)
    t = critical(freedom, pilot.correlation, pilot.comparisons, ALPHA)
    return math.exp(float(t + stats.t.isf(1 - power, freedom)) * pilot.noise / math.sqrt(seeds))


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


def duration(runs: int, pilot: Pilot, parallel: int) -> float:
    """Seconds of so many runs, `parallel` at a time."""
    return math.ceil(runs / parallel) * pilot.seconds


def outlook(pilot: Pilot, variants: int, parallel: int, seeds: Sequence[int]) -> list[list[str]]:
    """Rows (seeds, hours, smallest effect) of a table, for several numbers of seeds."""
    return [
        [str(n), f"{duration(n * variants, pilot, parallel) / 3600:.2g}", f"×{smallest_effect(n, pilot):.2f}"]
        for n in seeds
    ]
