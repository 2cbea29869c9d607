"""Random parameters of the pipeline's transforms."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from stylegan2.augment.options import ADAOptions

from .wavelets import BANDS

Parameters = dict[str, Tensor]
"""Values of transforms by name, one for each image. A transform that has no entry is left out."""


class Draws:
    """Draws from PyTorch's global random state, which checkpoints store. Replace it to control the numbers.

    Args:
        like: Tensor whose device and dtype the numbers have.
    """

    def __init__(self, like: Tensor):
        self.like = like

    def uniform(self, name: str, shape: Sequence[int]) -> Tensor:
        """Numbers of [0, 1) for one purpose, such as xflip_gate."""
        return torch.rand(list(shape), device=self.like.device, dtype=self.like.dtype)

    def normal(self, name: str, shape: Sequence[int]) -> Tensor:
        """Numbers ~ N(0, 1) for one purpose, such as noise_field."""
        return torch.randn(list(shape), device=self.like.device, dtype=self.like.dtype)


def draw(options: ADAOptions, p: Tensor | float, images: Tensor, draws: Draws | None = None) -> Parameters:
    """Draw the parameters of every transform for images (N, C, H, W) (ADA app. B).

    A transform acts on an image with the probability min(p · multiplier, 1), and otherwise has its neutral value.
    A transform whose multiplier is 0 is not drawn.

    Returns:
        The arguments of `geometry.affine` and `color.affine`; imgfilter (N, bands); noise (N,) and noise_field
        (N, C, H, W); cutout_center (N, 2) and cutout (N,).
    """
    draws = draws or Draws(images)
    n, strengths, found = len(images), options.strengths, Parameters()

    def multiplier(name: str) -> float:
        return options.multiplier(name)

    def gate(name: str, chance: Tensor | float, shape: Sequence[int] = (n,)) -> Tensor:
        return draws.uniform(f"{name}_gate", shape) < chance

    def uniform(name: str, *size: int) -> Tensor:
        return draws.uniform(f"{name}_value", (n, *size))

    def normal(name: str, *size: int) -> Tensor:
        return draws.normal(f"{name}_value", (n, *size))

    def keep(name: str, value: Tensor, neutral: float, chance: Tensor | float | None = None) -> None:
        shape = (n, *[1] * (value.ndim - 1))
        used = gate(name, p * multiplier(name) if chance is None else chance, shape)
        found[name] = torch.where(used, value, neutral)

    if multiplier("xflip"):
        keep("xflip", (uniform("xflip") * 2).floor(), 0)
    if multiplier("rotate90"):
        keep("rotate90", (uniform("rotate90") * 4).floor(), 0)
    if multiplier("xint"):
        keep("xint", (uniform("xint", 2) * 2 - 1) * strengths.xint, 0)
    if multiplier("scale"):
        keep("scale", (normal("scale") * strengths.scale).exp2(), 1)
    # Two rotations with chance q each, so that with chance p = 1 - (1 - q)² there is at least one.
    q = 1 - (1 - torch.as_tensor(p * multiplier("rotate"))).clamp(0, 1).sqrt()
    if multiplier("rotate"):
        keep("rotate", (uniform("rotate") * 2 - 1) * (math.pi * strengths.rotate), 0, q)
    if multiplier("aniso"):
        keep("aniso", (normal("aniso") * strengths.aniso).exp2(), 1)
    if multiplier("rotate"):
        keep("rotate2", (uniform("rotate2") * 2 - 1) * (math.pi * strengths.rotate), 0, q)
    if multiplier("xfrac"):
        keep("xfrac", normal("xfrac", 2) * strengths.xfrac, 0)

    if multiplier("brightness"):
        keep("brightness", normal("brightness") * strengths.brightness, 0)
    if multiplier("contrast"):
        keep("contrast", (normal("contrast") * strengths.contrast).exp2(), 1)
    if multiplier("lumaflip"):
        keep("lumaflip", (uniform("lumaflip") * 2).floor(), 0)
    if multiplier("hue") and images.shape[1] >= 3:  # gray has no hue and no saturation
        keep("hue", (uniform("hue") * 2 - 1) * (math.pi * strengths.hue), 0)
    if multiplier("saturation") and images.shape[1] >= 3:
        keep("saturation", (normal("saturation") * strengths.saturation).exp2(), 1)

    if multiplier("imgfilter"):
        for band in range(BANDS):
            name = f"imgfilter_band{band}"
            gain = (normal(name) * strengths.imgfilter).exp2()
            keep(name, gain, 1, p * multiplier("imgfilter"))
        found["imgfilter"] = torch.stack([found.pop(f"imgfilter_band{band}") for band in range(BANDS)], dim=1)

    if multiplier("noise"):
        keep("noise", normal("noise").abs() * strengths.noise, 0)
        found["noise_field"] = draws.normal("noise_field", images.shape)
    if multiplier("cutout"):
        used = gate("cutout", p * multiplier("cutout"))
        found["cutout"] = used * strengths.cutout
        found["cutout_center"] = draws.uniform("cutout_center", (n, 2))
    return found
