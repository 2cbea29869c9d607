"""What `stylegan2 probe` measures, besides data and model."""

from __future__ import annotations

from dataclasses import dataclass

from stylegan2.errors import InputError


@dataclass(frozen=True, kw_only=True)
class ProbeOptions:
    """What to probe, besides data and model."""

    out: str
    """Folder to write probe.json, probe.md and the plots to."""

    checkpoint: str | None = None
    """Checkpoint to probe. The config.yaml of its run is found beside it. null: fresh networks."""

    iterations: int = 0
    """Probe once more after this many iterations of training, on one device."""

    variants: str = "all"
    """Scalings to switch off, one at a time, and put beside the configuration, with commas between them:
    names such as residual_gain or weight_scaling=none; or all; or none."""

    theory_seeds: int = 3
    """Networks that each prediction is measured on. 0: leave predictions out."""

    def __post_init__(self) -> None:
        for name in ("iterations", "theory_seeds"):
            if getattr(self, name) < 0:
                raise InputError(
                    f"Expected --{name} of 0 or more, found {getattr(self, name)}. Give 0 to leave it out."
                )
