"""What a study measures on its runs. One measure is named before the data, and decides; the others are secondary.

The primary measure has the level of 5 % for itself, so that further measures cost it no power. The secondary ones
have 5 % together, corrected for all variants and measures.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from stylegan2.data.holdout import share_of
from stylegan2.metrics.comparison import NEAREST
from stylegan2.metrics.options import MetricOptions

if TYPE_CHECKING:
    from typing import Any

    from stylegan2.ablation.plan.study import Study

Curve = list[tuple[float, float]]
"""Pairs (kimg, value), in the order of training."""

Reading = Literal["mean", "last"]
"""How one number follows from the curve of a run. mean: the mean of its logarithm over kimg. last: its last value."""

QUALITY = "quality"
"""Curve of the quality distance. The other curves have the names of measures."""

HELD_OUT = "D's held-out loss"
HELD_OUT_COLUMN = "loss_d_held_out"
"""Column of metrics.csv of the loss of D on held-out images and on as many generated ones."""

AT_THE_END = {
    "diversity": "standard deviation of a pixel across latents, with equal noise, over the rms of the images",
    "feature distance": "Fréchet distance on the features of {features}",
    "density": "how densely the real images lie around a generated one (quality), features of {features}",
    "coverage": "share of real images with a generated one nearby (variety), features of {features}",
}
"""Measures of the trained generator, and what they are."""

METRICS = {"diversity": "diversity", "feature distance": "fid", "density": "density", "coverage": "coverage"}
"""Names of the metrics that compute them."""


SMALLEST = {"density": 0.5 / NEAREST, "coverage": 0.5}
"""What 0 counts as, times the number of images: half of the smallest value above 0."""


@dataclass(frozen=True, kw_only=True)
class Measure:
    """A positive number of a run, of which studies compare the logarithm."""

    name: str
    about: str
    curve: str
    """Name of the curve that it is read from."""
    reading: Reading
    least: float = 0.0
    """Smaller values count as this one."""

    def log(self, curve: Curve) -> float:
        """The logarithm. NaN: there is no value, or one that is not positive and finite.

        For a mean, each value stands for the kimg since the one before.
        """
        chosen = curve if self.reading == "mean" else curve[-1:]
        values = [max(value, self.least) for _, value in chosen]
        if not values or not all(0 < value < math.inf for value in values):
            return math.nan
        ends = [kimg for kimg, _ in chosen]
        spans = [end - start for start, end in zip([0.0, *ends], ends)]
        total = math.fsum(spans) or 1.0
        return math.fsum(span / total * math.log(value) for span, value in zip(spans, values))


def measures_of(study: Study, base: dict[str, Any]) -> list[Measure]:
    """The measures of a study with the configuration `base`. The first one is the primary one."""
    found = [
        Measure(
            name="distance over training",
            about="the logarithm of the quality distance, averaged over kimg",
            curve=QUALITY,
            reading="mean",
        ),
        Measure(
            name="distance at the end",
            about="the quality distance when training ends",
            curve=QUALITY,
            reading="last",
        ),
    ]
    found.sort(key=lambda measure: measure.reading != study.primary)
    for name in names_at_the_end(study):
        about = AT_THE_END[name].format(features=study.features)
        least = SMALLEST.get(name, 0.0) / study.final_images
        found.append(Measure(name=name, about=about, curve=name, reading="last", least=least))
    if share_of(base.get("data", {}).get("holdout", 0)):
        about = "D's loss on held-out images and as many generated ones, its logarithm averaged over kimg"
        found.append(Measure(name=HELD_OUT, about=about, curve=HELD_OUT, reading="mean"))
    return found


def names_at_the_end(study: Study) -> list[str]:
    """The names of the measures of the trained generator. Empty in studies of version 0.1."""
    if not study.final_images:
        return []
    return list(AT_THE_END) if study.features else ["diversity"]


def options_at_the_end(study: Study) -> MetricOptions:
    """The metrics that measure the trained generator, on as many real images as generated ones."""
    return MetricOptions(
        names=[METRICS[name] for name in names_at_the_end(study)],
        images=study.final_images,
        reals=study.final_images,
        features=study.features or "random",
    )
