"""Training that has diverged: losses that are NaN or infinite, found without waiting for a GPU in every iteration."""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor

CHECK_EVERY = 16
"""Iterations between two checks of the losses on a GPU. Each check waits for the GPU."""


class Diverged(RuntimeError):
    """A loss, or a number that belongs into a checkpoint, is NaN or infinite.

    Args:
        iteration: The iteration that computed it.
        images: The number of images seen before that iteration.
        what: Names of the losses or tensors that are not finite.
    """

    def __init__(self, iteration: int, images: int, what: Sequence[str]):
        more = f" and {len(what) - 3} more" if len(what) > 3 else ""
        super().__init__(
            f"iteration {iteration} ({images / 1000:.1f} kimg): {', '.join(what[:3])}{more} is NaN or "
            "infinite. Lower model.learning_rate, raise model.r1.gamma, or, with low-precision "
            "blocks, keep model.scalings.clamp at auto or set the blocks to 0."
        )


class LossCheck:
    """Collects the losses of iterations, and checks them: on a CPU in every iteration, on a GPU in some."""

    def __init__(self) -> None:
        self._unchecked: list[tuple[int, int, dict[str, Tensor]]] = []

    def add(self, iteration: int, images: int, values: dict[str, Tensor]) -> None:
        """Add the losses of an iteration, all on one device.

        Args:
            iteration: The iteration.
            images: Number of images seen before it.
            values: Scalars by name.

        Raises:
            Diverged: It was time for a check, and a loss is NaN or infinite.
        """
        self._unchecked.append((iteration, images, values))
        on_cpu = all(value.device.type == "cpu" for value in values.values())
        if on_cpu or len(self._unchecked) >= CHECK_EVERY:
            self.check()

    def check(self) -> None:
        """Check the losses of all iterations since the previous check. This waits for the GPU.

        Raises:
            Diverged: A loss is NaN or infinite. The message gives the first such iteration, its losses and
                what to change.
        """
        unchecked, self._unchecked = self._unchecked, []
        for iteration, images, values in unchecked:
            bad = [name for name, value in values.items() if not math.isfinite(value.item())]
            if bad:
                raise Diverged(iteration, images, bad)
