"""Slopes with intervals: one slope for each seed, and Student's t over the seeds."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from stylegan2.coordinates.plan import DEFAULT, PREDICTIONS, RATIOS, VARIANTS, Axis

TOLERANCE = 0.1
"""Largest difference of a measured exponent from the predicted one."""

Measured = Mapping[str, Sequence[Sequence[Mapping[str, float]]]]
"""Quantities by variant, for each seed and each size."""


@dataclass(frozen=True, kw_only=True)
class Slope:
    """How a quantity grows along an axis."""

    variant: str
    quantity: str
    mean: float
    half_width: float
    """Half the width of the 95 % interval. NaN for a single seed."""
    predicted: float | None = None
    relative: bool = False
    """Whether it is the quantity divided by that of the default."""

    @property
    def verdict(self) -> str:
        """as predicted (within 0.1), differs, or nothing without a prediction."""
        if self.predicted is None:
            return ""
        return "as predicted" if abs(self.mean - self.predicted) <= TOLERANCE else "differs"


def slopes(axis: Axis, over: str, measured: Measured) -> list[Slope]:
    """The slopes of all quantities that are predicted, and of all others of the default."""
    return list(_slopes(axis, over, measured))


def _slopes(axis: Axis, over: str, measured: Measured) -> Iterator[Slope]:
    tables = {name: _table(rows) for name, rows in measured.items()}
    for variant, table in tables.items():
        # A normalization is right if it keeps what the default keeps.
        predicted = PREDICTIONS.get(over, {}).get(variant if variant in VARIANTS else DEFAULT, {})
        for quantity, values in table.items():
            yield slope(axis, values, variant, quantity, predicted.get(quantity))
        ratios = RATIOS.get(over, {}).get(variant, {})
        for quantity, exponent in ratios.items():
            values = table[quantity] / tables[DEFAULT][quantity]
            yield slope(axis, values, variant, quantity, exponent, relative=True)


def _table(rows: Sequence[Sequence[Mapping[str, float]]]) -> dict[str, NDArray[np.float64]]:
    """Arrays (seeds, sizes) by quantity."""
    return {q: np.array([[size[q] for size in seed] for seed in rows]) for q in rows[0][0]}


def slope(
    axis: Axis,
    values: NDArray[np.float64],
    variant: str,
    quantity: str,
    predicted: float | None,
    relative: bool = False,
) -> Slope:
    """The mean slope of values (seeds, sizes), and its interval over seeds."""
    x = np.log2(axis.x) if axis.is_power else np.array(axis.x)
    x = x - x.mean()
    with np.errstate(divide="ignore", invalid="ignore"):
        of_seeds = np.log2(values) @ x / (x @ x)
    n = len(of_seeds)
    half = math.nan
    if n > 1 and np.isfinite(of_seeds).all():
        half = float(stats.t.ppf(0.975, n - 1) * of_seeds.std(ddof=1) / math.sqrt(n))
    return Slope(
        variant=variant,
        quantity=quantity,
        mean=float(of_seeds.mean()),
        half_width=half,
        predicted=predicted,
        relative=relative,
    )
