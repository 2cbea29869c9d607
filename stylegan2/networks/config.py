"""What a generator and a discriminator are built from: signature, help text and checkpoint entry at once."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal, TypeVar, cast

import torch

from stylegan2.ops import activations
from stylegan2.registry import check_choices

from .normalization import normalizations
from .scalings import Scalings

Architecture = Literal["skip", "resnet", "orig"]
LowPrecision = Literal["float16", "bfloat16"]
C = TypeVar("C", bound="NetworkConfig")


@dataclass(frozen=True)
class Block:
    """The plan of one resolution."""

    resolution: int
    """Height and width of its larger side, the block's output in G and its input in D."""

    channels: int
    """Feature maps at this resolution."""

    dtype: torch.dtype | None
    """Type that it computes in. None: the parameters' own."""

    clamp: float | None
    """Bound on its activations. None: no bound."""


@dataclass(frozen=True, kw_only=True)
class NetworkConfig:
    """What both networks have.

    Raises:
        ValueError: A resolution, architecture or number of channels that no network can have.
    """

    resolution: int
    """Height and width of the images, a power of two."""

    num_classes: int = 0
    """Width of the label c; 0 for unconditional."""

    img_channels: int = 3
    """1 gray, 3 RGB, 4 RGBA."""

    channel_base: int = 32768
    """Feature maps at resolution r are min(channel_base / r, channel_max). Config-f: 32768, 16384 at 256²."""

    channel_max: int = 512
    """See channel_base."""

    mapping_layers: int = 8
    """Fully connected layers of the mapping network (in the discriminator: of the label's)."""

    activation: str = "lrelu"
    """Activation of all layers that have one."""

    low_precision_blocks: int = 0
    """How many of the highest resolutions compute in low_precision_dtype."""

    low_precision_dtype: LowPrecision = "float16"
    """float16 or bfloat16."""

    taps: tuple[float, ...] = (1, 3, 3, 1)
    """Low-pass filter of the resampling, one axis."""

    def __post_init__(self) -> None:
        check_choices(self)
        if self.activation not in activations:
            raise ValueError(f"activation must be one of {', '.join(activations)}, got {self.activation!r}")
        object.__setattr__(self, "taps", tuple(self.taps))  # a list, where it comes from YAML or a checkpoint
        least = self.least_resolution()
        if self.resolution < least or self.resolution & (self.resolution - 1):
            raise ValueError(f"resolution must be a power of two from {least} up, got {self.resolution}")
        if self.img_channels not in (1, 3, 4):
            raise ValueError(f"img_channels must be 1 (gray), 3 (RGB) or 4 (RGBA), got {self.img_channels}")
        if self.channels_at(self.resolution) < 1:
            raise ValueError(
                f"channel_base {self.channel_base} leaves no feature map at {self.resolution}×"
                f"{self.resolution}: set it to {self.resolution} or more"
            )

    @staticmethod
    def least_resolution() -> int:
        """The smallest resolution of images."""
        return 4

    @classmethod
    def of(cls: type[C], config: C | int, options: dict[str, Any]) -> C:
        """A configuration as it is, or one made from a resolution and other options by name."""
        if isinstance(config, cls):
            if options:
                raise TypeError(f"give {', '.join(options)} in the {cls.__name__}, not beside it")
            return config
        return cls(resolution=cast(int, config), **options)

    def channels_at(self, resolution: int) -> int:
        """Feature maps at a resolution."""
        return min(self.channel_base // resolution, self.channel_max)

    def blocks(self, scalings: Scalings) -> list[Block]:
        """The plan of every resolution, from 4 up."""
        resolutions = [2**i for i in range(2, int(math.log2(self.resolution)) + 1)]
        high = len(resolutions) - self.low_precision_blocks
        low_dtype = getattr(torch, self.low_precision_dtype)
        return [
            Block(
                resolution=r,
                channels=self.channels_at(r),
                dtype=low_dtype if i >= high else None,
                clamp=scalings.clamp_at(i >= high),
            )
            for i, r in enumerate(resolutions)
        ]


@dataclass(frozen=True, kw_only=True)
class GeneratorConfig(NetworkConfig):
    """What a generator is built from, beside its scalings."""

    z_dim: int = 512
    """Width of the latent z."""

    w_dim: int = 512
    """Width of the intermediate latent w."""

    architecture: Architecture = "skip"
    """skip (StyleGAN2's), resnet or orig (SG2 figure 7)."""

    w_avg_beta: float = 0.995
    """Decay of the running mean of w for each batch."""


@dataclass(frozen=True, kw_only=True)
class DiscriminatorConfig(NetworkConfig):
    """What a discriminator is built from, beside its scalings."""

    architecture: Architecture = "resnet"
    """resnet (StyleGAN2's), skip or orig (SG2 figure 7)."""

    minibatch_group: int | None = 4
    """Samples in a group of the minibatch stddev. null: the whole batch."""

    minibatch_channels: int = 1
    """Channels that the minibatch stddev appends, 1 or more (scalings.minibatch_stddev switches it off)."""

    map_dim: int | None = None
    """Width of the label's projection. null: the channels at 4×4."""

    normalization: str = "none"
    """The normalization of the 3×3 convolutions."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.minibatch_channels < 1:
            raise ValueError(f"minibatch_channels must be 1 or more, got {self.minibatch_channels}")
        if normalizations[self.normalization].needs_styles:
            raise ValueError(
                f"normalization {self.normalization} needs styles, which a discriminator does not have"
            )

    @staticmethod
    def least_resolution() -> int:
        """The discriminator ends at 4×4 after one halving or more."""
        return 8
