"""The options of normalizations, as one value of a network's configuration."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from stylegan2.errors import InputError


@dataclass(frozen=True, kw_only=True)
class NormalizationOptions:
    """Options of a normalization. Each has some of them, and null is its own default."""

    eps: float | None = None
    """ε, within the root."""

    momentum: float | None = None
    """Share of a new batch in running means: batch normalization and what is built on it."""

    affine: bool | None = None
    """Whether there are a learned scale and shift for each channel."""

    groups: int | None = None
    """Upper limit of the number of groups: group, batch_channel and instance_meta."""

    group_size: int | None = None
    """Upper limit of the channels in a group: decorrelated_batch."""

    components: int | None = None
    """Number of components K: attentive, mode and mixture."""

    size: int | None = None
    """Size of the window: local_response (channels) and local_contrast (pixels)."""

    alpha: float | None = None
    """α of local_response and dynamic_tanh."""

    slope: float | None = None
    """Slope of the activation of inplace_abn for negative values."""

    target: float | None = None
    """Stable rank as a share of the full rank: stable_rank."""

    radius_kimg: float | None = None
    """Thousands of images after which sparse_switchable has chosen one of its three kinds of moments."""

    def __post_init__(self) -> None:
        for name in ("groups", "group_size", "components", "size", "radius_kimg", "slope", "target"):
            value = getattr(self, name)
            if value is not None and value <= 0:
                raise InputError(f"Expected {name} of a normalization above 0, found {value}.")
        for name, limit in (("momentum", 1.0), ("target", 1.0)):
            value = getattr(self, name)
            if value is not None and not 0 <= value <= limit:
                raise InputError(f"Expected {name} of a normalization from 0 to {limit:g}, found {value}.")
        if self.eps is not None and self.eps < 0:
            raise InputError(f"Expected eps of a normalization of 0 or more, found {self.eps}.")
        if self.size is not None and self.size % 2 == 0:
            raise InputError(f"Expected an odd size of a normalization's window, found {self.size}.")

    def given(self) -> dict[str, Any]:
        """The options that are not null, by name."""
        return {f.name: value for f in fields(self) if (value := getattr(self, f.name)) is not None}
