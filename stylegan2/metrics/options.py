"""The options of metrics measured during training."""

from __future__ import annotations

from dataclasses import dataclass, field

from stylegan2.errors import InputError
from stylegan2.metrics import metrics


@dataclass(frozen=True, kw_only=True)
class MetricOptions:
    """Which metrics are measured during training, and how often.

    Raises:
        InputError: A metric is not registered, or a number is out of range.
    """

    names: list[str] = field(default_factory=list)
    """Names of metrics, such as random_frechet. Each value is logged as metric_NAME. An empty list turns them off."""

    every_kimg: float = 50
    """Thousands of images between two measurements. There is another one at the end. 0: only at the end."""

    images: int = 2000
    """Number of generated images for each value. Only values over the same number of images can be compared."""

    def __post_init__(self) -> None:
        for name in self.names:
            metrics[name]  # raises for an unknown name
        if self.every_kimg < 0:
            raise InputError(
                f"Expected metrics.every_kimg of 0 or more, found {self.every_kimg}. 0 measures only at the end."
            )
        if self.images < 2:
            raise InputError(f"Expected metrics.images of 2 or more, found {self.images}. Try 2000.")
