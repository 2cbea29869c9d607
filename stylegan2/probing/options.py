"""The options of `stylegan2 probe` besides those of training."""

from __future__ import annotations

from dataclasses import dataclass

from stylegan2.errors import InputError


@dataclass(frozen=True, kw_only=True)
class ProbeOptions:
    """The options of `stylegan2 probe` besides those of training.

    Raises:
        InputError: A number is negative.
    """

    out: str
    """Folder for probe.json, probe.md and the plots."""

    checkpoint: str | None = None
    """Checkpoint to probe, with the config.yaml of its run. null: untrained networks."""

    iterations: int = 0
    """Train for this many iterations on one device and probe again. 0: do not train."""

    variants: str = "all"
    """Scalings to switch off one at a time, for comparison with the configuration: all, none, or names with
    commas, such as residual_gain,weight_scaling=none."""

    theory_seeds: int = 3
    """Number of networks that each prediction is measured on. 0: leave predictions out."""

    def __post_init__(self) -> None:
        for name in ("iterations", "theory_seeds"):
            if getattr(self, name) < 0:
                raise InputError(
                    f"Expected --{name} of 0 or more, found {getattr(self, name)}. 0 turns this part off."
                )
