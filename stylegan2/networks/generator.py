"""The generator: mapping network, synthesis blocks from 4×4 up, and the image they add up to."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Literal

import torch
from torch import Tensor, nn

from stylegan2.networks import layers
from stylegan2.networks.layers import EqualizedConv2d, Noise, SynthesisLayer, ToRGBLayer
from stylegan2.networks.mapping import MappingNetwork
from stylegan2.networks.scalings import Scalings
from stylegan2.ops import setup_filter, upsample2d

Architecture = Literal["skip", "resnet", "orig"]
LowPrecision = Literal["float16", "bfloat16"]


def channels_at(resolution: int, channel_base: int, channel_max: int) -> int:
    """Feature maps at a resolution: min(channel_base / resolution, channel_max)."""
    return min(channel_base // resolution, channel_max)


def check_network(
    resolution: int, img_channels: int, architecture: str, low_precision_dtype: str, at_least: int = 4
) -> None:
    """Raise ValueError for what no network here can be built with."""
    if resolution < at_least or resolution & (resolution - 1):
        raise ValueError(f"resolution must be a power of two from {at_least} up, got {resolution}")
    if img_channels not in (1, 3, 4):
        raise ValueError(f"img_channels must be 1 (gray), 3 (RGB) or 4 (RGBA), got {img_channels}")
    if architecture not in ("skip", "resnet", "orig"):
        raise ValueError(f"architecture must be skip, resnet or orig, got {architecture!r}")
    if low_precision_dtype not in ("float16", "bfloat16"):
        raise ValueError(f"low_precision_dtype must be float16 or bfloat16, got {low_precision_dtype!r}")


class SynthesisBlock(nn.Module):
    """One resolution: two synthesis layers (one at 4×4, on a learned constant), and maybe an image output.

    skip: every block adds its image to the up-sampled image so far. resnet: a linear 1×1 skip joins the
    features, both branches times `residual_gain`. orig: neither (SG2 §4.1, figure 7).

    Shape: x (N, I, R/2, R/2), ws (N, rows, w_dim), img (N, C, R/2, R/2) -> x (N, O, R, R), img (N, C, R, R).
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        w_dim: int,
        resolution: int,
        img_channels: int,
        *,
        architecture: Architecture,
        is_last: bool,
        scalings: Scalings,
        taps: tuple[float, ...],
        clamp: float | None,
        dtype: torch.dtype | None,
    ):
        super().__init__()
        self.dtype, self.upsample_gain = dtype, scalings.upsample_gain
        self.is_first = in_channels == 0
        self.register_buffer("filter", setup_filter(taps, separable=True), persistent=False)
        gain = scalings.residual_gain if architecture == "resnet" and not self.is_first else 1.0
        common = {"scalings": scalings, "taps": taps, "clamp": clamp}
        if self.is_first:
            self.const = nn.Parameter(torch.randn(out_channels, resolution, resolution))
        else:
            self.conv0 = SynthesisLayer(in_channels, out_channels, w_dim, resolution, up=2, **common)
        self.conv1 = SynthesisLayer(out_channels, out_channels, w_dim, resolution, gain=gain, **common)
        self.torgb = self.skip = None
        if is_last or architecture == "skip":
            self.torgb = ToRGBLayer(out_channels, img_channels, w_dim, scalings=scalings, clamp=clamp)
        if architecture == "resnet" and not self.is_first:
            self.skip = EqualizedConv2d(
                in_channels, out_channels, 1, scalings=scalings, bias=False, up=2, taps=taps, gain=gain
            )
        self.num_conv = 1 if self.is_first else 2

    def forward(
        self, x: Tensor | None, img: Tensor | None, ws: Tensor, noise: Noise
    ) -> tuple[Tensor, Tensor | None]:
        ws = iter(ws.unbind(dim=1))
        if self.is_first:
            x = self.const.to(self.dtype or self.const.dtype).expand(len(w := next(ws)), -1, -1, -1)
            x = self.conv1(x.contiguous(memory_format=layers.MEMORY_FORMAT), w, noise)
        else:
            x = x.to(self.dtype or self.conv1.weight.dtype)
            skip = None if self.skip is None else self.skip(x)
            x = self.conv1(self.conv0(x, next(ws), noise), next(ws), noise)
            x = x if skip is None else x + skip
        if img is not None:
            img = upsample2d(img, self.filter, gain=self.upsample_gain)
        if self.torgb is not None:
            rgb = self.torgb(x, next(ws)).to(self.torgb.weight.dtype)
            img = rgb if img is None else img + rgb
        return x, img


class SynthesisNetwork(nn.Module):
    """The synthesis network g: one row of ws a layer to an image (SG2 §2 and §4.1).

    A block's image layer takes the same row of ws as the next block's first convolution.

    Shape: (N, num_ws, w_dim) -> (N, img_channels, R, R).
    """

    def __init__(
        self,
        resolution: int,
        w_dim: int,
        img_channels: int,
        channels: dict[int, int],
        *,
        architecture: Architecture,
        scalings: Scalings,
        taps: tuple[float, ...],
        clamps: dict[int, float | None],
        dtypes: dict[int, torch.dtype | None],
    ):
        super().__init__()
        self.resolutions = list(channels)
        self.img_channels, self.resolution = img_channels, resolution
        self.num_ws = 2 * int(math.log2(resolution)) - 2
        for r in self.resolutions:
            block = SynthesisBlock(
                channels.get(r // 2, 0),
                channels[r],
                w_dim,
                r,
                img_channels,
                architecture=architecture,
                is_last=r == resolution,
                scalings=scalings,
                taps=taps,
                clamp=clamps[r],
                dtype=dtypes[r],
            )
            self.add_module(f"b{r}", block)

    def forward(self, ws: Tensor, noise: Noise = "random") -> Tensor:
        """ws (N, num_ws, w_dim) to images in the nominal range [-1, 1].

        Args:
            ws: One w a layer.
            noise: "random" draws new pixels, "const" takes the stored ones, "none" leaves noise out.

        Raises:
            ValueError: ws has another number of rows, or the noise is of no known kind.
        """
        if ws.ndim != 3 or ws.shape[1] != self.num_ws:
            raise ValueError(f"expected ws of shape (N, {self.num_ws}, w_dim), got {tuple(ws.shape)}")
        if noise not in ("random", "const", "none"):
            raise ValueError(f"noise must be random, const or none, got {noise!r}")
        x = img = None
        row = 0
        for r in self.resolutions:
            block = getattr(self, f"b{r}")
            x, img = block(x, img, ws[:, row : row + block.num_conv + 1], noise)
            row += block.num_conv
        return img


class Generator(nn.Module):
    """StyleGAN2's generator: z (N, z_dim), c (N, num_classes) -> images (N, img_channels, R, R).

    Args:
        resolution: R, a power of two.
        z_dim: Width of the latent z.
        w_dim: Width of the intermediate latent w.
        num_classes: Width of the label c; 0 for unconditional.
        img_channels: 1 gray, 3 RGB, 4 RGBA.
        mapping_layers: Layers of the mapping network.
        channel_base: Feature maps at resolution r are min(channel_base / r, channel_max). Config-f: 32768,
            16384 at 256².
        channel_max: See channel_base.
        architecture: skip (StyleGAN2's), resnet or orig.
        low_precision_blocks: How many of the highest resolutions compute in low_precision_dtype.
        low_precision_dtype: float16 or bfloat16.
        clamp_blocks: Where scalings.clamp applies: in low-precision blocks, or in all.
        taps: Low-pass filter of the up-sampling, one axis.
        w_avg_beta: Decay of the running mean of w a forward pass.
        scalings: Gains and normalisations.

    Raises:
        ValueError: A resolution, architecture or number of channels that cannot be.
    """

    def __init__(
        self,
        resolution: int,
        *,
        z_dim: int = 512,
        w_dim: int = 512,
        num_classes: int = 0,
        img_channels: int = 3,
        mapping_layers: int = 8,
        channel_base: int = 32768,
        channel_max: int = 512,
        architecture: Architecture = "skip",
        low_precision_blocks: int = 0,
        low_precision_dtype: LowPrecision = "float16",
        clamp_blocks: Literal["low_precision", "all"] = "low_precision",
        taps: tuple[float, ...] = (1, 3, 3, 1),
        w_avg_beta: float = 0.995,
        scalings: Scalings = Scalings(),  # noqa: B008 (frozen)
    ):
        super().__init__()
        check_network(resolution, img_channels, architecture, low_precision_dtype)
        self.config = {
            "resolution": resolution,
            "z_dim": z_dim,
            "w_dim": w_dim,
            "num_classes": num_classes,
            "img_channels": img_channels,
            "mapping_layers": mapping_layers,
            "channel_base": channel_base,
            "channel_max": channel_max,
            "architecture": architecture,
            "low_precision_blocks": low_precision_blocks,
            "low_precision_dtype": low_precision_dtype,
            "clamp_blocks": clamp_blocks,
            "taps": list(taps),
            "w_avg_beta": w_avg_beta,
            "scalings": asdict(scalings),
        }
        self.z_dim, self.w_dim, self.num_classes = z_dim, w_dim, num_classes
        self.resolution, self.img_channels, self.scalings = resolution, img_channels, scalings
        channels, dtypes, clamps = plan_blocks(
            resolution,
            channel_base,
            channel_max,
            low_precision_blocks,
            low_precision_dtype,
            clamp_blocks,
            scalings,
        )
        self.synthesis = SynthesisNetwork(
            resolution,
            w_dim,
            img_channels,
            channels,
            architecture=architecture,
            scalings=scalings,
            taps=tuple(taps),
            clamps=clamps,
            dtypes=dtypes,
        )
        self.num_ws = self.synthesis.num_ws
        self.mapping = MappingNetwork(
            z_dim,
            w_dim,
            self.num_ws,
            num_classes=num_classes,
            layers=mapping_layers,
            w_avg_beta=w_avg_beta,
            scalings=scalings,
        )

    def forward(
        self,
        z: Tensor,
        c: Tensor | None = None,
        psi: float = 1.0,
        cutoff: int | None = None,
        noise: Noise = "random",
    ) -> Tensor:
        """Latents to images: `synthesis(mapping(z, c, psi, cutoff), noise)`."""
        return self.synthesis(self.mapping(z, c, psi, cutoff), noise)


def plan_blocks(
    resolution: int,
    channel_base: int,
    channel_max: int,
    low_precision_blocks: int,
    low_precision_dtype: str,
    clamp_blocks: str,
    scalings: Scalings,
) -> tuple[dict[int, int], dict[int, torch.dtype | None], dict[int, float | None]]:
    """Channels, type (None: the parameters' own) and clamp of every resolution from 4 up."""
    resolutions = [2**i for i in range(2, int(math.log2(resolution)) + 1)]
    low = set(resolutions[len(resolutions) - low_precision_blocks :] if low_precision_blocks else [])
    channels = {r: channels_at(r, channel_base, channel_max) for r in resolutions}
    if min(channels.values()) < 1:
        raise ValueError(
            f"channel_base {channel_base} leaves no feature map at {resolution}×{resolution}: "
            f"set it to {resolution} or more"
        )
    dtypes = {r: getattr(torch, low_precision_dtype) if r in low else None for r in resolutions}
    clamps = {r: scalings.clamp if r in low or clamp_blocks == "all" else None for r in resolutions}
    return channels, dtypes, clamps
