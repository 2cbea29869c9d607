"""Metrics of the quality of generated images, each chosen by its name.

A metric is built once from real images, and is then called with generated images any number of times. It has no
access to the networks that made them. There are two kinds. A metric on images is a class. A metric on features is a
`FeatureMetric`, and all of these share the features of one network in `extractors`.
`stylegan2.training.measuring` measures both kinds, and `stylegan2 ablate` compares runs by a metric on images.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Protocol

from stylegan2.registry import Registry

if TYPE_CHECKING:
    from torch import Tensor


class Metric(Protocol):
    """A metric on images that has been built from the real ones.

    A lower value is better, unless the class has `better = "higher"`. With `noise = "const"`, it gets images that all
    have the generator's stored noise, and differ in their latents alone. `stylegan2 ablate` needs a quality distance
    that is positive, and lower for better images.
    """

    def __call__(self, images: Iterable[Tensor]) -> float:
        """The value for generated images, given as batches of uint8 (N, C, H, W) on the CPU."""


metrics: Registry[Callable[[Iterable[Tensor]], Metric]] = Registry("metric", __name__)
"""Registered metrics by name: callables that build one from batches of real images, uint8 (N, C, H, W), CPU."""


def batches(sample: Callable[[int], Tensor], n: int, batch: int = 64) -> Iterator[Tensor]:
    """n images in batches, as a metric expects them.

    Args:
        sample: Function of a number k that returns k images, uint8 (k, C, H, W).
        n: Number of images in all.
        batch: Images per batch. The last batch may be smaller.
    """
    for start in range(0, n, batch):
        yield sample(min(batch, n - start))
