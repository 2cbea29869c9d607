"""The discriminator: blocks from the image resolution down to 4×4, the minibatch stddev, and the logit."""

from __future__ import annotations

import math
from functools import reduce
from typing import Any

import torch
from torch import Tensor, nn

from stylegan2.ops import downsample2d, outside_autocast, setup_filter

from .config import Block, DiscriminatorConfig
from .initialization import drawn_by_name
from .layers import EqualizedConv2d, EqualizedLinear, choose_memory_order, minibatch_stddev
from .mapping import MappingNetwork
from .normalization.virtual_batch import Reference
from .residual import start_branch
from .scalings import Scalings


class DiscriminatorBlock(nn.Module):
    """The block of one resolution: a 3×3 layer, then a 3×3 layer with down-sampling (SG2 §4.1, figure 7).

    The resnet architecture adds a linear 1×1 skip branch, with the factors of `Scalings.residual`. In the skip
    architecture, the down-sampled image enters every block through a 1×1 layer. The orig architecture does neither.

    The first block of the network gets None for x, and blocks that do not use the image get None for img. Labels c
    are for a conditional normalization.

    Shape: x (N, I, H, W), img (N, C, H, W), c (N, num_classes) -> x (N, O, H/2, W/2), img (N, C, H/2, W/2).

    Args:
        plan: Settings of the block, such as its size (H, W).
        out_channels: O, the feature maps at half the size.
        config: Configuration of the discriminator.
        scalings: Scalings of the discriminator.
    """

    filter: Tensor

    def __init__(self, plan: Block, out_channels: int, config: DiscriminatorConfig, scalings: Scalings):
        super().__init__()
        channels, self.architecture = plan.channels, config.architecture
        self.dtype = plan.dtype
        self.register_buffer("filter", setup_filter(config.taps, separable=True), persistent=False)
        common: dict[str, Any] = {"scalings": scalings, "taps": config.taps}
        active = common | {"activation": config.activation, "clamp": plan.clamp}
        kind: dict[str, Any] = {"normalization": config.plan(), "num_conditions": config.num_classes}
        self.fromrgb = self.skip = self.alpha = None
        if plan.resolution == config.resolution or config.architecture == "skip":
            self.fromrgb = EqualizedConv2d(config.img_channels, channels, 1, **active)
        self.conv0 = EqualizedConv2d(channels, channels, 3, **kind, **active)
        self.conv1 = EqualizedConv2d(channels, out_channels, 3, down=2, **kind, **active)
        if config.architecture == "resnet":
            self.skip = EqualizedConv2d(channels, out_channels, 1, bias=False, down=2, **common)
            self.residual = scalings.residual(config.depth)
            self.alpha = start_branch(self.residual, self.conv1, config.plan())

    def forward(
        self, x: Tensor | None, img: Tensor | None, c: Tensor | None = None
    ) -> tuple[Tensor, Tensor | None]:
        x = _entering(x, img, self.fromrgb, self.dtype or self.conv0.weight.dtype)
        if img is not None:
            img = downsample2d(img, self.filter) if self.architecture == "skip" else None
        if self.skip is None:
            return self.conv1(self.conv0(x, condition=c), condition=c), img
        # The sum of two branches has twice the variance. Gains of 1/√2 keep it (SG2 §4.1).
        g = self.residual
        branch = self.conv1(self.conv0(x, gain=g.hidden, condition=c), gain=g.branch, condition=c)
        if self.alpha is not None:
            branch = branch * self.alpha.to(branch.dtype)
        return branch + self.skip(x, gain=g.skip), img


class DiscriminatorEpilogue(nn.Module):
    """The last block, at the lowest resolution: minibatch stddev, a 3×3 convolution and two linear layers (PGGAN §3).

    Shape: (N, C, H, W) -> (N, out_features).
    """

    def __init__(self, plan: Block, out_features: int, config: DiscriminatorConfig, scalings: Scalings):
        super().__init__()
        channels = plan.channels
        self.group = config.minibatch_group
        self.stddev_channels = config.minibatch_channels if scalings.minibatch_stddev else 0
        active: dict[str, Any] = {"scalings": scalings, "activation": config.activation}
        self.fromrgb = None
        if config.architecture == "skip":
            self.fromrgb = EqualizedConv2d(config.img_channels, channels, 1, **active)
        self.conv = EqualizedConv2d(
            channels + self.stddev_channels,
            channels,
            3,
            clamp=plan.clamp,
            normalization=config.plan(),
            num_conditions=config.num_classes,
            **active,
        )
        self.fc = EqualizedLinear(channels * math.prod(plan.size), channels, **active)
        self.out = EqualizedLinear(channels, out_features, scalings=scalings)

    @outside_autocast
    def forward(self, x: Tensor | None, img: Tensor | None, c: Tensor | None = None) -> Tensor:
        x = _entering(x, img, self.fromrgb, self.conv.weight.dtype)
        if self.stddev_channels:
            x = minibatch_stddev(x, self.group, self.stddev_channels)
        # This flattens in (C, H, W) order for any memory format, which is the order of the stored weights.
        return self.out(self.fc(self.conv(x, condition=c).flatten(1)))


def _entering(
    x: Tensor | None, img: Tensor | None, fromrgb: EqualizedConv2d | None, dtype: torch.dtype
) -> Tensor:
    """Return the features that enter a block: those of the block before, those of the image, or their sum."""
    features = [] if x is None else [x.to(dtype)]
    if fromrgb is not None and img is not None:
        features.append(fromrgb(img.to(dtype)))
    return reduce(torch.add, features)


class Discriminator(nn.Module):
    """StyleGAN2's discriminator: images (N, img_channels, H, W), labels (N, num_classes) -> logits (N, 1).

    If there are labels, the logit is a projection, ⟨features, mapping(c)⟩ / √map_dim (ADA's code, following
    Miyato and Koyama 2018).

    Args:
        config: The configuration, or only the size of the images: their side, or (H, W).
        scalings: Gains and normalizations.
        **options: Other fields of `DiscriminatorConfig` by name, if `config` is a size.

    Raises:
        ValueError: The configuration is invalid.
    """

    def __init__(
        self,
        config: DiscriminatorConfig | int | tuple[int, int],
        scalings: Scalings = Scalings(),  # noqa: B008 (frozen)
        **options: Any,
    ):
        super().__init__()
        self.config = config = DiscriminatorConfig.of(config, options)
        self.scalings = scalings
        self.resolution, self.image_size = config.resolution, config.image_size
        self.num_classes = config.num_classes
        self.img_channels, self.minibatch_group = config.img_channels, config.minibatch_group
        last, *blocks = config.blocks(scalings)
        self.resolutions = [plan.resolution for plan in reversed(blocks)]
        self.map_dim = (config.map_dim or last.channels) if config.num_classes else 0
        with drawn_by_name(self):
            for plan in reversed(blocks):
                block = DiscriminatorBlock(plan, config.channels_at(plan.resolution // 2), config, scalings)
                self.add_module(f"b{plan.resolution}", block)
            if config.num_classes:
                self.mapping = MappingNetwork(
                    0,
                    self.map_dim,
                    None,
                    num_classes=config.num_classes,
                    layers=config.mapping_layers,
                    activation=config.activation,
                    w_avg_beta=None,
                    scalings=scalings,
                )
            self.b4 = DiscriminatorEpilogue(last, self.map_dim or 1, config, scalings)
            self.reference: Reference | None = None
            if config.normalization == "virtual_batch":
                self.reference = Reference((config.img_channels, *config.image_size), config.num_classes)
        choose_memory_order(self)

    def forward(self, img: Tensor, c: Tensor | None = None) -> Tensor:
        """Map images in the nominal range [-1, 1] to logits (N, 1). A positive logit means real.

        Raises:
            ValueError: The images have another shape, labels are missing, or the minibatch stddev cannot
                split the batch into groups.
        """
        expected = (self.img_channels, *self.image_size)
        if tuple(img.shape[1:]) != expected:
            raise ValueError(f"expected images of shape (N, {str(expected)[1:]}, got {tuple(img.shape)}")
        if self.reference is None:
            return self._logits(img, c)
        return self.reference.passes(self, self._logits, img, c)

    def _logits(self, img: Tensor, c: Tensor | None) -> Tensor:
        x: Tensor | None = None
        image: Tensor | None = img
        if c is not None and self.num_classes:
            c = c.to(img.dtype)
        for r in self.resolutions:
            x, image = getattr(self, f"b{r}")(x, image, c)
        logits: Tensor = self.b4(x, image, c)
        if self.num_classes:
            logits = (logits * self.mapping(None, c)).sum(dim=1, keepdim=True) / math.sqrt(self.map_dim)
        return logits
