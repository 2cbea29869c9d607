"""Numbers that say how good generated images are, each chosen by its name. A metric never sees a network.

A metric is a class registered in `metrics` under a name. It is built once from real images, and is then
called with generated images as often as wanted. `stylegan2.training.evaluation` measures metrics during
training, and `stylegan2 ablate` compares runs by one of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Protocol

from stylegan2.registry import Registry

if TYPE_CHECKING:
    from torch import Tensor


class Metric(Protocol):
    """A metric that has seen the real images.

    `ablate` needs one that is positive, and lower for better images.
    """

    def __call__(self, images: Iterable[Tensor]) -> float:
        """The value for generated images: batches of uint8 (N, C, H, W), 0..255, on the CPU."""


metrics: Registry[Callable[[Iterable[Tensor]], Metric]] = Registry("metric", __name__)
"""Name to a callable that builds the metric from batches of real images, uint8 (N, C, H, W) on the CPU."""


def batches(sample: Callable[[int], Tensor], n: int, batch: int = 64) -> Iterator[Tensor]:
    """n images as a metric takes them, in batches.

    Args:
        sample: Draws images: a number k to uint8 (k, C, H, W).
        n: Number of images in all.
        batch: Images drawn at once; the last batch may be smaller.
    """
    for start in range(0, n, batch):
        yield sample(min(batch, n - start))
