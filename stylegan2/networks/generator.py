"""The generator: a mapping network, and a synthesis network with one block per resolution from 4×4 up."""

from __future__ import annotations

from typing import Any, get_args

import torch
from torch import Tensor, nn

from stylegan2.ops import setup_filter, upsample2d

from .config import Block, GeneratorConfig
from .initialization import draw, drawn_by_name
from .layers import EqualizedConv2d, Noise, SynthesisLayer, ToRGBLayer, choose_memory_order
from .mapping import MappingNetwork
from .normalization.virtual_batch import Reference
from .pretrained import Pretrained
from .residual import start_branch
from .scalings import Scalings


class SynthesisBlock(nn.Module):
    """The block of one resolution: two synthesis layers, and an image output where the architecture has one.

    At 4×4 it has one synthesis layer, whose input is a learned constant. In the skip architecture, every
    block adds its image to the up-sampled image of the block before. The resnet architecture adds a linear
    1×1 skip branch, with the factors of `Scalings.residual`. The orig architecture does neither. Only the last
    block of resnet and orig has an image output (SG2 §4.1, figure 7).

    Shape: x (N, I, H/2, W/2), ws (N, rows, w_dim), img (N, C, H/2, W/2) -> x (N, O, H, W), img (N, C, H, W).

    Args:
        plan: Settings of the block, such as its size (H, W).
        in_channels: I, the feature maps at half the size. It is 0 for the first block, which has no input.
        config: Configuration of the generator.
        scalings: Scalings of the generator.
    """

    filter: Tensor

    def __init__(self, plan: Block, in_channels: int, config: GeneratorConfig, scalings: Scalings):
        super().__init__()
        channels, w_dim = plan.channels, config.w_dim
        common: dict[str, Any] = {
            "scalings": scalings,
            "activation": config.activation,
            "taps": config.taps,
            "clamp": plan.clamp,
            "normalization": config.plan(scalings),
        }
        self.dtype, self.upsample_gain = plan.dtype, scalings.upsample_gain
        is_first = in_channels == 0
        self.register_buffer("filter", setup_filter(config.taps, separable=True), persistent=False)
        if is_first:
            self.const = nn.Parameter(torch.empty(channels, *plan.size))
            draw(self, const=1.0)
        else:
            self.conv0 = SynthesisLayer(in_channels, channels, w_dim, plan.size, up=2, **common)
        self.conv1 = SynthesisLayer(channels, channels, w_dim, plan.size, **common)
        self.torgb = self.skip = self.alpha = None
        if plan.resolution == config.resolution or config.architecture == "skip":
            self.torgb = ToRGBLayer(channels, config.img_channels, w_dim, scalings=scalings, clamp=plan.clamp)
        if config.architecture == "resnet" and not is_first:
            self.skip = EqualizedConv2d(
                in_channels, channels, 1, scalings=scalings, bias=False, up=2, taps=config.taps
            )
            self.residual = scalings.residual(config.depth)
            self.alpha = start_branch(self.residual, self.conv1, config.plan(scalings))

    def forward(
        self, x: Tensor | None, img: Tensor | None, ws: Tensor, noise: Noise
    ) -> tuple[Tensor, Tensor | None]:
        w = iter(ws.unbind(dim=1))
        dtype = self.dtype or self.conv1.weight.dtype
        if x is None:
            x = self.const.to(dtype).expand(ws.shape[0], -1, -1, -1)
            x = self.conv1(x, next(w), noise)
        elif self.skip is None:
            x = self.conv1(self.conv0(x.to(dtype), next(w), noise), next(w), noise)
        else:
            # The sum of two branches has twice the variance. Gains of 1/√2 keep it (SG2 §4.1).
            x, g = x.to(dtype), self.residual
            skip = self.skip(x, gain=g.skip)
            x = self.conv1(self.conv0(x, next(w), noise, gain=g.hidden), next(w), noise, gain=g.branch)
            if self.alpha is not None:
                x = x * self.alpha.to(x.dtype)
            x = x + skip
        if img is not None:
            img = upsample2d(img, self.filter, gain=self.upsample_gain)
        if self.torgb is not None:
            rgb = self.torgb(x, next(w)).to(self.torgb.weight.dtype)
            img = rgb if img is None else img + rgb
        return x, img


class SynthesisNetwork(nn.Module):
    """The synthesis network g, which maps one row of ws per layer to an image (SG2 §2 and §4.1).

    The image layer of a block takes the same row of ws as the first convolution of the next block.

    Shape: (N, num_ws, w_dim) -> (N, img_channels, H, W).
    """

    def __init__(self, config: GeneratorConfig, scalings: Scalings):
        super().__init__()
        blocks, before = config.blocks(scalings), 0
        self.resolutions = [plan.resolution for plan in blocks]
        self.num_ws = 2 * len(blocks)  # two layers per block, one at 4×4, and one for the last image layer
        for plan in blocks:
            self.add_module(f"b{plan.resolution}", SynthesisBlock(plan, before, config, scalings))
            before = plan.channels
        self.reference: Reference | None = None
        if config.plan(scalings).features == "virtual_batch":
            self.reference = Reference((self.num_ws, config.w_dim))

    def forward(self, ws: Tensor, noise: Noise = "random") -> Tensor:
        """Map ws to images (N, img_channels, H, W) in the nominal range [-1, 1].

        Args:
            ws: (N, num_ws, w_dim), one w per layer.
            noise: "random" draws new noise, "const" uses the stored noise, and "none" uses no noise.

        Raises:
            ValueError: ws has another number of rows, or the kind of noise is unknown.
        """
        if ws.ndim != 3 or ws.shape[1] != self.num_ws:
            raise ValueError(f"expected ws of shape (N, {self.num_ws}, w_dim), got {tuple(ws.shape)}")
        if noise not in get_args(Noise):
            raise ValueError(f"noise must be random, const or none, got {noise!r}")
        if self.reference is None:
            return self._images(ws, noise)
        return self.reference.passes(self, lambda ws, c: self._images(ws, noise), ws, None)

    def _images(self, ws: Tensor, noise: Noise) -> Tensor:
        first, *others = [getattr(self, f"b{r}") for r in self.resolutions]
        x, img = first(None, None, ws[:, :2], noise)
        for i, block in enumerate(others):
            x, img = block(x, img, ws[:, 2 * i + 1 : 2 * i + 4], noise)
        images: Tensor = img
        return images


class Generator(Pretrained, nn.Module):
    """StyleGAN2's generator: z (N, z_dim), c (N, num_classes) -> images (N, img_channels, H, W).

    Args:
        config: The configuration, or only the size of the images: their side, or (H, W).
        scalings: Gains and normalizations.
        **options: Other fields of `GeneratorConfig` by name, if `config` is a size.

    Raises:
        ValueError: The configuration is invalid.
    """

    def __init__(
        self,
        config: GeneratorConfig | int | tuple[int, int],
        scalings: Scalings = Scalings(),  # noqa: B008 (frozen)
        **options: Any,
    ):
        super().__init__()
        self.config = config = GeneratorConfig.of(config, options)
        self.scalings = scalings
        self.z_dim, self.w_dim, self.num_classes = config.z_dim, config.w_dim, config.num_classes
        self.resolution, self.image_size = config.resolution, config.image_size
        self.img_channels = config.img_channels
        with drawn_by_name(self):
            self.synthesis = SynthesisNetwork(config, scalings)
            self.num_ws = self.synthesis.num_ws
            self.mapping = MappingNetwork(
                config.z_dim,
                config.w_dim,
                self.num_ws,
                num_classes=config.num_classes,
                layers=config.mapping_layers,
                activation=config.activation,
                w_avg_beta=config.w_avg_beta,
                scalings=scalings,
            )
        choose_memory_order(self)
        self._fill_reference()

    @torch.no_grad()
    def _fill_reference(self) -> None:
        """Give virtual batch normalization its reference: ws of fixed latents, equal in all processes."""
        if (reference := self.synthesis.reference) is None:
            return
        z = torch.randn(len(reference.inputs), self.z_dim, generator=torch.Generator().manual_seed(0))
        c = torch.eye(self.num_classes)[torch.arange(len(z)) % self.num_classes] if self.num_classes else None
        reference.fill(self.mapping(z, c, update_w_avg=False))

    def forward(
        self,
        z: Tensor,
        c: Tensor | None = None,
        psi: float = 1.0,
        cutoff: int | None = None,
        noise: Noise = "random",
        w_mean: Tensor | None = None,
    ) -> Tensor:
        """Map latents z (N, z_dim) and labels c (N, num_classes) to images in the nominal range [-1, 1].

        The result is `synthesis(mapping(z, c, psi, cutoff, w_mean=w_mean), noise)`.

        Raises:
            ValueError: z or c is missing or has the wrong width, or the kind of noise is unknown.
        """
        return self.synthesis(self.mapping(z, c, psi, cutoff, w_mean=w_mean), noise)
