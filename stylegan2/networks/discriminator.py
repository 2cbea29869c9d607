"""The discriminator: blocks from the image down to 4×4, minibatch stddev, logit."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Literal

import torch
from torch import Tensor, nn

from stylegan2.networks import layers
from stylegan2.networks.generator import Architecture, LowPrecision, check_network, plan_blocks
from stylegan2.networks.layers import EqualizedConv2d, EqualizedLinear, minibatch_stddev
from stylegan2.networks.mapping import MappingNetwork
from stylegan2.networks.scalings import Scalings
from stylegan2.ops import downsample2d, setup_filter


class DiscriminatorBlock(nn.Module):
    """One halving of the resolution: 3×3, then 3×3 with down-sampling (SG2 §4.1, figure 7).

    resnet: a linear 1×1 skip joins in, both branches times `residual_gain`. skip: the image, down-sampled on
    its own, enters every block through a 1×1 layer. orig: neither.

    Shape: x (N, I, R, R), img (N, C, R, R) -> x (N, O, R/2, R/2), img (N, C, R/2, R/2); either can be None.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        img_channels: int,
        *,
        architecture: Architecture,
        is_first: bool,
        scalings: Scalings,
        taps: tuple[float, ...],
        clamp: float | None,
        dtype: torch.dtype | None,
    ):
        super().__init__()
        self.dtype, self.architecture = dtype, architecture
        self.register_buffer("filter", setup_filter(taps, separable=True), persistent=False)
        common = {"scalings": scalings, "clamp": clamp, "taps": taps}
        gain = scalings.residual_gain if architecture == "resnet" else 1.0
        self.fromrgb = self.skip = None
        if is_first or architecture == "skip":
            self.fromrgb = EqualizedConv2d(img_channels, in_channels, 1, activation="lrelu", **common)
        self.conv0 = EqualizedConv2d(in_channels, in_channels, 3, activation="lrelu", **common)
        self.conv1 = EqualizedConv2d(
            in_channels, out_channels, 3, activation="lrelu", down=2, gain=gain, **common
        )
        if architecture == "resnet":
            self.skip = EqualizedConv2d(
                in_channels, out_channels, 1, bias=False, down=2, gain=gain, scalings=scalings, taps=taps
            )

    def forward(self, x: Tensor | None, img: Tensor | None) -> tuple[Tensor, Tensor | None]:
        dtype = self.dtype or self.conv0.weight.dtype
        if self.fromrgb is not None:
            y = self.fromrgb(img.to(dtype, memory_format=layers.MEMORY_FORMAT))
            x = y if x is None else x.to(dtype) + y
            img = downsample2d(img, self.filter) if self.architecture == "skip" else None
        x = x.to(dtype)
        skip = None if self.skip is None else self.skip(x)
        x = self.conv1(self.conv0(x))
        return (x if skip is None else x + skip), img


class DiscriminatorEpilogue(nn.Module):
    """The last 4×4: minibatch stddev, 3×3 convolution, two fully connected layers (PGGAN §3, SG2 table 1).

    Shape: (N, C, 4, 4) -> (N, out_features).
    """

    def __init__(
        self,
        channels: int,
        out_features: int,
        img_channels: int,
        *,
        architecture: Architecture,
        group: int | None,
        stddev_channels: int,
        scalings: Scalings,
        clamp: float | None,
    ):
        super().__init__()
        self.group, self.stddev_channels = group, stddev_channels if scalings.minibatch_stddev else 0
        lrelu = {"scalings": scalings, "activation": "lrelu"}
        self.fromrgb = EqualizedConv2d(img_channels, channels, 1, **lrelu) if architecture == "skip" else None
        self.conv = EqualizedConv2d(channels + self.stddev_channels, channels, 3, clamp=clamp, **lrelu)
        self.fc = EqualizedLinear(channels * 16, channels, **lrelu)
        self.out = EqualizedLinear(channels, out_features, scalings=scalings)

    def forward(self, x: Tensor | None, img: Tensor | None) -> Tensor:
        dtype = self.conv.weight.dtype
        if self.fromrgb is not None:
            y = self.fromrgb(img.to(dtype))
            x = y if x is None else x.to(dtype) + y
        x = x.to(dtype)
        if self.stddev_channels:
            x = minibatch_stddev(x, self.group, self.stddev_channels)
        # Flatten in (C, H, W) order whatever the memory format: the order of the stored weights.
        return self.out(self.fc(self.conv(x).flatten(1)))


class Discriminator(nn.Module):
    """StyleGAN2's discriminator: images (N, img_channels, R, R), labels (N, num_classes) -> logits (N, 1).

    With labels the logit is a projection: ⟨features, mapping(c)⟩ / √map_dim (ADA's code, after Miyato and
    Koyama 2018).

    Args:
        resolution: R, a power of two from 8 up.
        num_classes: Width of the label c; 0 for unconditional.
        img_channels: 1 gray, 3 RGB, 4 RGBA.
        channel_base: Feature maps at resolution r are min(channel_base / r, channel_max).
        channel_max: See channel_base.
        architecture: resnet (StyleGAN2's), skip or orig.
        minibatch_group: Samples in a group of the minibatch stddev. null: the whole batch.
        minibatch_channels: Channels that the minibatch stddev appends; 0 for none.
        mapping_layers: Layers of the label's mapping network.
        map_dim: Width of the label's projection. null: the channels at 4×4.
        low_precision_blocks: How many of the highest resolutions compute in low_precision_dtype.
        low_precision_dtype: float16 or bfloat16.
        clamp_blocks: Where scalings.clamp applies: in low-precision blocks, or in all.
        taps: Low-pass filter of the down-sampling, one axis.
        scalings: Gains and normalisations.

    Raises:
        ValueError: A resolution, architecture or number of channels that cannot be.
    """

    def __init__(
        self,
        resolution: int,
        *,
        num_classes: int = 0,
        img_channels: int = 3,
        channel_base: int = 32768,
        channel_max: int = 512,
        architecture: Architecture = "resnet",
        minibatch_group: int | None = 4,
        minibatch_channels: int = 1,
        mapping_layers: int = 8,
        map_dim: int | None = None,
        low_precision_blocks: int = 0,
        low_precision_dtype: LowPrecision = "float16",
        clamp_blocks: Literal["low_precision", "all"] = "low_precision",
        taps: tuple[float, ...] = (1, 3, 3, 1),
        scalings: Scalings = Scalings(),  # noqa: B008 (frozen)
    ):
        super().__init__()
        check_network(resolution, img_channels, architecture, low_precision_dtype, at_least=8)
        self.config = {
            "resolution": resolution,
            "num_classes": num_classes,
            "img_channels": img_channels,
            "channel_base": channel_base,
            "channel_max": channel_max,
            "architecture": architecture,
            "minibatch_group": minibatch_group,
            "minibatch_channels": minibatch_channels,
            "mapping_layers": mapping_layers,
            "map_dim": map_dim,
            "low_precision_blocks": low_precision_blocks,
            "low_precision_dtype": low_precision_dtype,
            "clamp_blocks": clamp_blocks,
            "taps": list(taps),
            "scalings": asdict(scalings),
        }
        self.resolution, self.img_channels, self.num_classes = resolution, img_channels, num_classes
        self.scalings, self.minibatch_group = scalings, minibatch_group
        channels, dtypes, clamps = plan_blocks(
            resolution,
            channel_base,
            channel_max,
            low_precision_blocks,
            low_precision_dtype,
            clamp_blocks,
            scalings,
        )
        self.resolutions = list(channels)[:0:-1]
        for r in self.resolutions:
            block = DiscriminatorBlock(
                channels[r],
                channels[r // 2],
                img_channels,
                architecture=architecture,
                is_first=r == resolution,
                scalings=scalings,
                taps=tuple(taps),
                clamp=clamps[r],
                dtype=dtypes[r],
            )
            self.add_module(f"b{r}", block)
        self.map_dim = (map_dim or channels[4]) if num_classes else 0
        if num_classes:
            self.mapping = MappingNetwork(
                0,
                self.map_dim,
                None,
                num_classes=num_classes,
                layers=mapping_layers,
                w_avg_beta=None,
                scalings=scalings,
            )
        self.b4 = DiscriminatorEpilogue(
            channels[4],
            self.map_dim or 1,
            img_channels,
            architecture=architecture,
            group=minibatch_group,
            stddev_channels=minibatch_channels,
            scalings=scalings,
            clamp=clamps[4],
        )

    def forward(self, img: Tensor, c: Tensor | None = None) -> Tensor:
        """Images in the nominal range [-1, 1] to logits (N, 1): positive for real.

        Raises:
            ValueError: Images of another shape, missing labels, or a batch that the minibatch stddev cannot
                split.
        """
        channels, r = self.img_channels, self.resolution
        if tuple(img.shape[1:]) != (channels, r, r):
            raise ValueError(f"expected images of shape (N, {channels}, {r}, {r}), got {tuple(img.shape)}")
        x = None
        for r in self.resolutions:
            x, img = getattr(self, f"b{r}")(x, img)
        x = self.b4(x, img)
        if self.num_classes:
            x = (x * self.mapping(None, c)).sum(dim=1, keepdim=True) / math.sqrt(self.map_dim)
        return x
