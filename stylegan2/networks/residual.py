"""The sum of the two branches of a residual block, and the constants that it can have.

A block of two layers f₀ and f₁ beside a skip branch S computes

    y = skip · S(x) + branch · α · f₁(hidden · f₀(x)).

The papers are SG2 (1912.04958), Fixup (1901.09321), SkipInit (2002.10444), EDM2 (2312.02696) and R3GAN (2501.05441).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal, NamedTuple

import torch
from torch import nn

from stylegan2.errors import InputError

from .initialization import draw
from .normalized import NormalizedLayer, Plan


class Residual(NamedTuple):
    """The factors of a residual block."""

    skip: float
    branch: float
    hidden: float = 1.0
    start: Literal["drawn", "zero_weights", "zero_factor"] = "drawn"
    """How the branch starts. "drawn": with random weights. "zero_weights": with weights of 0 in f₁. "zero_factor":
    with α = 0, which is then learned. Otherwise α is 1."""


def magnitude_preserving(t: float) -> tuple[float, float]:
    """Return the factors (a, b) of two terms that keep the variance if the terms are independent (EDM2 eq. 88).

    a = (1-t)/√((1-t)² + t²),  b = t/√((1-t)² + t²)
    """
    a, b = (1 - t) ** 2, t**2
    return math.sqrt(a / (a + b)), math.sqrt(b / (a + b))


RESIDUAL_SUMS: dict[str, Callable[[int], Residual]] = {
    "inverse_depth": lambda blocks: Residual(1.0, 1 / math.sqrt(blocks)),
    # L^(-1/(2m-2)) for branches of m layers (Fixup). Here they have two.
    "fixup": lambda blocks: Residual(1.0, 1.0, blocks ** (-1 / 2), "zero_weights"),
    "skip_init": lambda blocks: Residual(1.0, 1.0, start="zero_factor"),
}
"""The factors by the number of blocks of a network, for each name that `Scalings.residual_gain` can have."""


def start_branch(residual: Residual, last: NormalizedLayer, plan: Plan) -> nn.Parameter | None:
    """Prepare the start of a branch that ends with the layer `last`.

    Returns:
        α, or None if it is 1.

    Raises:
        InputError: The weights are to start at 0, but `plan` normalizes the layer. It would then have full size after
            one step.
    """
    if residual.start == "zero_weights":
        names = [name for name in (plan.features, plan.weights) if name != "none"]
        if names:
            raise InputError(
                "Expected residual blocks without normalization with scalings.residual_gain fixup, found "
                f"{names[0]}. It would bring weights near 0 to full size. Set residual_gain: skip_init."
            )
        draw(last, weight=0.0)
    return nn.Parameter(torch.zeros([])) if residual.start == "zero_factor" else None
