"""The options of `stylegan2 ablate` besides those of training."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Literal

from stylegan2.errors import InputError
from stylegan2.metrics import metrics
from stylegan2.metrics.comparison import FeatureMetric
from stylegan2.registry import check_choices


@dataclass(frozen=True, kw_only=True)
class AblationOptions:
    """What a study compares, and how it runs.

    Raises:
        InputError: A number is out of range, or the options contradict each other.
    """

    out: str = "ablation"
    """Folder of the study. The same command continues the study that is there."""

    fields: str | None = None
    """Scalings to switch off: all, normalizations (each file of configs/normalizations), or names such as
    residual_gain,noise (files of these folders, or your own YAML files). null: all, unless --field is given."""

    field: str | None = None
    """A constant to try at several --values, such as residual_gain or r1.gamma. It replaces --fields."""

    values: str | None = None
    """The values of --field, such as 0.5,0.6,0.7071,0.85,1."""

    seeds: int = 3
    """Number of runs of each variant, with seeds 0, 1, ..."""

    budget: str | None = None
    """Time for all runs, such as 2h. The speed is measured, and kimg follows from it. null: --kimg is used."""

    metric: str = "random_frechet"
    """Quality distance: a registered metric on images that is positive, and lower for better ones."""

    images: int = 2000
    """Number of generated images for the quality distance."""

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
        if self.images < 2:
            raise InputError(f"Expected --images of 2 or more, found {self.images}. Try 2000.")
        if isinstance(metrics[self.metric], FeatureMetric):
            raise InputError(
                f"Expected --metric of a metric on images, such as random_frechet, found {self.metric}, which needs "
                "a feature network. --metrics.names measures it beside the quality distance."
            )
        if (self.field is None) != (self.values is None) or (self.field and self.fields):
            raise InputError(
                "Expected either --fields, or both --field and --values, found "
                f"--fields {self.fields}, --field {self.field}, --values {self.values}. Give one or the other."
            )
