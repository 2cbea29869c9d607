"""What metrics on features compare, and how such a metric is described and named."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal, Protocol

import torch
from torch import Tensor

from stylegan2.metrics import Metric
from stylegan2.metrics.extractors import Extractor, extractors


class Named(Protocol):
    """What a figure is named after: an `Extractor`, or the perceptual distance of PPL."""

    key: str
    title: str
    published: bool


@dataclass(kw_only=True)
class Comparison:
    """Features of two sets of images, from which every metric on features is computed."""

    reals: Tensor
    """Features of the real images, (M, F)."""

    fakes: Tensor
    """Features of the generated images, (N, F)."""

    logits: Tensor = field(default_factory=lambda: torch.empty(0, 0))
    """Logits of the generated images, (N, K). Empty if no metric needs them."""

    path: Tensor = field(default_factory=lambda: torch.empty(0))
    """d(g(w), g(w'))/ε² of pairs of neighboring points of W, (N,). Empty if no metric needs them."""

    seed: int = 0
    """Seed of the choice of subsets."""

    @cached_property
    def precision_and_recall(self) -> dict[str, float]:
        """Precision and recall (Kynkäänniemi et al. 2019, equation 2, k = 3) by torch-fidelity."""
        from torch_fidelity.metric_prc import prc_features_to_metric

        found: dict[str, float] = prc_features_to_metric(
            self.fakes.double(), self.reals.double(), prc_neighborhood=3, save_cpu_ram=True, verbose=False
        )
        return found

    @cached_property
    def neighbors(self) -> Tensor:
        """How many generated images lie in the ball of each real image, (M,).

        The ball reaches to the real image's fifth nearest neighbor among the others (Naeem et al. 2020, k = 5).
        """
        counts, fakes, reals = [], self.fakes.double(), self.reals.double()
        for rows in torch.split(reals, 1024):
            radius = torch.cdist(rows, reals).kthvalue(NEAREST + 1).values  # the nearest is the image itself
            counts.append((torch.cdist(rows, fakes) <= radius[:, None]).sum(dim=1))
        return torch.cat(counts)


NEAREST = 5
"""k of density and coverage (Naeem et al. 2020, §3.3)."""


@dataclass(frozen=True, kw_only=True)
class FeatureMetric:
    """A metric that is computed from features of real and generated images.

    `published` is what papers call it with the published Inception weights. With any other features its name is
    `title` and the name of the network, because the figures cannot be compared with those of papers.
    """

    title: str
    """What its formula is called, such as "Fréchet distance"."""

    value: Callable[[Comparison], float]
    """Computes it."""

    better: Literal["lower", "higher"]
    """Which figures are those of better images."""

    published: str | None = None
    """What papers call it with Inception features, such as "FID". None: papers use other features."""

    needs: Literal["features", "logits", "path"] = "features"
    """What it needs besides the features of both sets."""

    least: int = 2
    """The smallest number of real and of generated images for which it is defined."""

    def __call__(self, reals: Iterable[Tensor], extractor: Extractor | None = None) -> Metric:
        """Build the metric from batches of real images, uint8 (N, C, H, W), for use in Python.

        Args:
            reals: The real images.
            extractor: The feature network. None: Inception-v3, whose weights must be in PyTorch's cache.

        Raises:
            InputError: The weights are missing.
            ValueError: The metric needs more than images, as PPL does.
        """
        if self.needs == "path":
            raise ValueError(f"{self.title} needs a generator; stylegan2.training.measuring measures it")
        network = extractor or extractors["inception"](None)
        features = torch.cat([network(images)[0].cpu() for images in reals])

        def measure(images: Iterable[Tensor]) -> float:
            fakes, logits = zip(*(network(batch) for batch in images))
            compared = Comparison(reals=features, fakes=torch.cat(fakes).cpu())
            if self.needs == "logits":
                compared.logits = torch.cat(logits).cpu()
            return self.value(compared)

        return measure

    def full_title(self, extractor: Named) -> str:
        """What a table calls it with the features of a network, or PPL with a distance."""
        if self.published and extractor.published:
            return self.published
        return f"{self.title}, {extractor.title} features"

    def column(self, name: str, extractor: Named) -> str:
        """What a column of numbers is called: `name` if papers call it so, else the formula and the network."""
        if self.published and extractor.published:
            return name
        words = self.title.lower().replace("é", "e").replace(" ", "_")
        return f"{words}_{extractor.key}"
