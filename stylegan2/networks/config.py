"""The configurations of generator and discriminator.

Their fields are at the same time the arguments of the networks, options with their help texts, and entries of
checkpoints.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal, TypeVar, cast

import torch

from stylegan2.ops import activations
from stylegan2.registry import check_choices
from stylegan2.sizes import BASES, divided

from .normalization.options import NormalizationOptions
from .normalized import Plan
from .scalings import Scalings

Architecture = Literal["skip", "resnet", "orig"]
LowPrecision = Literal["float16", "bfloat16"]
C = TypeVar("C", bound="NetworkConfig")


@dataclass(frozen=True)
class Block:
    """The settings of the block of one resolution."""

    resolution: int
    """What the block is named for: 4, 8, 16, ... It is the side of square images with the default base."""

    size: tuple[int, int]
    """Height and width of the block's output in G, and of its input in D."""

    channels: int
    """Feature maps at this resolution."""

    dtype: torch.dtype | None
    """Type of its computations. None is the type of the parameters."""

    clamp: float | None
    """Bound on the absolute values of its activations. None sets no bound."""


@dataclass(frozen=True, kw_only=True)
class NetworkConfig:
    """The configuration that both networks share.

    Images have (base[0], base[1]) · resolution / 4 pixels, so 256 with a base of (3, 5) gives 192×320.

    Raises:
        ValueError: No network can have this resolution, architecture, activation or number of channels.
    """

    resolution: int
    """Height and width of the images, a power of two. With another base than 4×4 it counts the blocks only."""

    base: tuple[int, int] = (4, 4)
    """Height and width at the lowest resolution."""

    num_classes: int = 0
    """Width of the label c. 0 makes the networks unconditional."""

    img_channels: int = 3
    """Channels of the images: 1 (gray), 3 (RGB) or 4 (RGBA)."""

    channel_base: int = 32768
    """The block of resolution r has min(channel_base / r, channel_max) feature maps. SG2's config-f has
    32768, and 16384 for images of 256²."""

    channel_max: int = 512
    """Largest number of feature maps, see channel_base."""

    mapping_layers: int = 8
    """Number of fully connected layers of the mapping network. In the discriminator, that network maps the
    label."""

    activation: str = "lrelu"
    """Activation of all layers that have one."""

    low_precision_blocks: int = 0
    """Number of blocks, from the highest resolution down, that compute in low_precision_dtype."""

    low_precision_dtype: LowPrecision = "float16"
    """Type of the low-precision blocks: float16 or bfloat16."""

    taps: tuple[float, ...] = (1, 3, 3, 1)
    """Taps of the low-pass filter for up- and down-sampling, along one axis."""

    weight_normalization: str = "none"
    """Normalization of the weights of the 3×3 convolutions, beside `normalization`."""

    normalization_options: NormalizationOptions = NormalizationOptions()
    """Options of normalization and weight_normalization. The option groups, for example, may also be written as
    normalization.groups on the command line."""

    def __post_init__(self) -> None:
        check_choices(self)
        options: Any = self.normalization_options
        if not isinstance(options, NormalizationOptions):  # plain data of a checkpoint, or parsed options
            options = NormalizationOptions(**(options if isinstance(options, dict) else vars(options)))
            object.__setattr__(self, "normalization_options", options)
        if self.activation not in activations:
            raise ValueError(f"activation must be one of {', '.join(activations)}, got {self.activation!r}")
        for name in ("taps", "base"):  # YAML files and checkpoints give lists
            object.__setattr__(self, name, tuple(getattr(self, name)))
        least = self.least_resolution()
        if self.resolution < least or self.resolution & (self.resolution - 1):
            raise ValueError(f"resolution must be a power of two from {least} up, got {self.resolution}")
        if len(self.base) != 2 or not all(side in BASES for side in self.base):
            raise ValueError(f"base must be two numbers from {BASES[0]} to {BASES[-1]}, got {self.base}")
        if self.img_channels not in (1, 3, 4):
            raise ValueError(f"img_channels must be 1 (gray), 3 (RGB) or 4 (RGBA), got {self.img_channels}")
        if self.channels_at(self.resolution) < 1:
            raise ValueError(
                f"channel_base must leave at least one feature map at {self.resolution}×{self.resolution}, "
                f"got {self.channel_base}: set it to {self.resolution} or more"
            )

    @staticmethod
    def least_resolution() -> int:
        """Return the smallest resolution of images that the network supports."""
        return 4

    @property
    def image_size(self) -> tuple[int, int]:
        """Height and width of the images."""
        return self.base[0] * self.resolution // 4, self.base[1] * self.resolution // 4

    @property
    def depth(self) -> int:
        """Number of blocks above the lowest resolution, which are residual ones in the resnet architecture."""
        return self.resolution.bit_length() - 3

    @classmethod
    def of(cls: type[C], config: C | int | tuple[int, int], options: dict[str, Any]) -> C:
        """Return a configuration as it is, or make one from the size of images and other options by name.

        Raises:
            TypeError: There are a configuration and options.
        """
        if isinstance(config, cls):
            if options:
                raise TypeError(
                    f"expected a {cls.__name__} alone, got other options too: set {', '.join(options)} in it"
                )
            return config
        return cls(**divided(cast(int | tuple[int, int], config)), **options)

    def channels_at(self, resolution: int) -> int:
        """Return the number of feature maps at a resolution."""
        return min(self.channel_base // resolution, self.channel_max)

    def blocks(self, scalings: Scalings) -> list[Block]:
        """Return the settings of the block of every resolution, from 4 up."""
        resolutions = [2**i for i in range(2, int(math.log2(self.resolution)) + 1)]
        high = len(resolutions) - self.low_precision_blocks
        low_dtype = getattr(torch, self.low_precision_dtype)
        return [
            Block(
                resolution=r,
                size=(self.base[0] * r // 4, self.base[1] * r // 4),
                channels=self.channels_at(r),
                dtype=low_dtype if i >= high else None,
                clamp=scalings.clamp_at(i >= high),
            )
            for i, r in enumerate(resolutions)
        ]


@dataclass(frozen=True, kw_only=True)
class GeneratorConfig(NetworkConfig):
    """The configuration of a generator, apart from its scalings."""

    z_dim: int = 512
    """Width of the latent z."""

    w_dim: int = 512
    """Width of the intermediate latent w."""

    architecture: Architecture = "skip"
    """skip (StyleGAN2's default), resnet or orig (SG2 figure 7)."""

    w_avg_beta: float = 0.995
    """Decay of the running mean of w per batch."""

    normalization: str | None = None
    """Normalization of the synthesis layers. null is scalings.style_normalization, which modulates the input of a
    layer. One of features, such as instance, follows an unmodulated convolution, and the styles scale its result."""

    def plan(self, scalings: Scalings) -> Plan:
        """The normalizations of the synthesis layers."""
        return Plan(
            features=self.normalization or scalings.style_normalization,
            weights=self.weight_normalization,
            options=self.normalization_options,
            styles_after=self.normalization is not None,
        )

    def __post_init__(self) -> None:
        super().__post_init__()
        self.plan(Scalings())


@dataclass(frozen=True, kw_only=True)
class DiscriminatorConfig(NetworkConfig):
    """The configuration of a discriminator, apart from its scalings."""

    architecture: Architecture = "resnet"
    """resnet (StyleGAN2's default), skip or orig (SG2 figure 7)."""

    minibatch_group: int | None = 4
    """Number of samples in a group of the minibatch stddev. null is the whole batch."""

    minibatch_channels: int = 1
    """Number of channels that the minibatch stddev appends, 1 or more. scalings.minibatch_stddev switches it
    off."""

    map_dim: int | None = None
    """Width of the mapped label. null is the number of feature maps at 4×4."""

    normalization: str = "none"
    """Normalization of the 3×3 convolutions."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.minibatch_channels < 1:
            raise ValueError(f"minibatch_channels must be 1 or more, got {self.minibatch_channels}")
        kind = self.plan().kind
        if kind.needs_styles:
            raise ValueError(
                f"normalization {self.normalization} needs styles, which a discriminator does not have: choose "
                "weight_normalization weight, weight_standardization or forced_weight, which scale kernels too"
            )
        if kind.conditional and not self.num_classes:
            raise ValueError(
                f"normalization {self.normalization} reads labels, and there are none: give data with classes, or "
                f"choose {self.normalization.replace('adaptive_', '').replace('conditional_', '')}"
            )

    def plan(self) -> Plan:
        """The normalizations of the 3×3 convolutions."""
        return Plan(
            features=self.normalization,
            weights=self.weight_normalization,
            options=self.normalization_options,
        )

    @staticmethod
    def least_resolution() -> int:
        """Return 8, because the resolution is halved at least once before the last block at 4×4."""
        return 8
