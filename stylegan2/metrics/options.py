"""The options of metrics, which training and `stylegan2 evaluate` share."""

from __future__ import annotations

from dataclasses import dataclass, field

from stylegan2.errors import InputError
from stylegan2.metrics import metrics
from stylegan2.metrics.comparison import FeatureMetric
from stylegan2.metrics.extractors import Extractor, extractors, require_package


@dataclass(frozen=True, kw_only=True)
class MetricOptions:
    """Which metrics are measured, on what, and how often during training.

    Raises:
        InputError: A metric or a feature network is not registered, or a number is out of range.
    """

    names: list[str] = field(default_factory=list)
    """Names of metrics, such as fid,kid. During training each value is logged as metric_NAME, and the checkpoint
    that is best by the first one is kept. An empty list turns them off."""

    every_kimg: float = 50
    """Thousands of images between two measurements. There is another one at the end. 0: only at the end."""

    images: int = 2000
    """Number of generated images for each value. Only values over the same number of images can be compared."""

    reals: int = 10_000
    """Largest number of real images to compare with. A larger set gives a fixed random choice."""

    features: str = "inception"
    """Feature network of all metrics but random_frechet and random_kernel. inception: Inception-v3, by which FID and
    KID are defined. efficientnet_lite0 to 2: small classifiers whose weights are packages. vgg16: torchvision's
    VGG-16. random: random weights. Figures with other features than Inception's are never called FID."""

    features_path: str | None = None
    """File with the feature network's weights. null: inception takes torch-fidelity's download from PyTorch's cache,
    vgg16 torchvision's, efficientnet_lite0 to 2 the file of the package."""

    seed: int = 0
    """Seed of the latents, labels and noise of the generated images."""

    repeats: int = 1
    """How often each value is measured, with the next seed each time. The figure is the mean, and the standard
    deviation is its spread."""

    def __post_init__(self) -> None:
        for name in self.names:
            metrics[name]  # raises for an unknown name
        extractors[self.features]
        if self.every_kimg < 0:
            raise InputError(
                f"Expected metrics.every_kimg of 0 or more, found {self.every_kimg}. 0 measures only at the end."
            )
        for name, least, example in (
            ("images", 2, 2000),
            ("reals", 2, 10_000),
            ("seed", 0, 0),
            ("repeats", 1, 3),
        ):
            if getattr(self, name) < least:
                raise InputError(
                    f"Expected metrics.{name} of {least} or more, found {getattr(self, name)}. Try {example}."
                )
        for name, metric in self.feature_metrics().items():
            if self.images < metric.least:
                raise InputError(
                    f"Expected metrics.images of {metric.least} or more for {name}, found {self.images}. Try 2000."
                )

    def feature_metrics(self) -> dict[str, FeatureMetric]:
        """Those of the named metrics that compare features, by name."""
        chosen = {name: metrics[name] for name in self.names}
        return {name: metric for name, metric in chosen.items() if isinstance(metric, FeatureMetric)}

    def load_extractor(self) -> Extractor | None:
        """Load the feature network. None: no metric needs it.

        Raises:
            InputError: A package or a file is missing, or a metric needs classes and the network has none.
        """
        needing = self.feature_metrics()
        if not needing:
            return None
        require_package("torch_fidelity", "metrics", f"The metric {next(iter(needing))}")
        extractor = extractors[self.features](self.features_path)
        logits = [name for name, metric in needing.items() if metric.needs == "logits"]
        if logits and not extractor.has_classes:
            raise InputError(
                f"{logits[0]} needs the classes of a classifier, but features={self.features} has none. Choose "
                "other features, or leave this metric out."
            )
        return extractor
