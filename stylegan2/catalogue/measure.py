"""Measurements of one normalization in one layer: a 3×3 convolution of random images of different contrast."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from stylegan2.networks.config import DiscriminatorConfig, GeneratorConfig
from stylegan2.networks.layers import EqualizedConv2d, SynthesisLayer
from stylegan2.networks.normalization.base import normalizations
from stylegan2.networks.scalings import Scalings

CHANNELS, SIDE, BATCH = 16, 32, 8


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """What was measured of one normalization. A number that cannot be measured is NaN."""

    name: str
    rms_d: float
    """Rms of the output of D's layer at the start, without activation, for an input of rms 1."""
    rms_g: float
    """The same for G's layer."""
    others: float
    """Change of a sample's output when the other samples double, relative to the output's rms."""
    input_twice: float
    """Rms of the output for twice the input over that for the input."""
    weights_twice: float
    """Rms of the output for twice the kernels over that for the kernels."""
    far: float
    """Change of a corner when a pixel at the opposite corner becomes bright, relative to the output's rms."""
    contrast: float
    """Slope of the logarithm of the output's contrast over that of the input's, over samples."""
    samples: bool
    """Whether an output depends on other samples."""
    channels: bool
    """Whether, of its own sample, it depends on other channels of the convolved features."""
    pixels: bool
    """Whether, of its own sample, it depends on other pixels of the convolved features."""
    finite: bool
    """Whether the first and second derivative are finite at a constant input."""
    batch_1: float
    """Rms of the output in training mode for a batch of one image, for an input of rms 1."""
    map_1: float
    """The same for one image of 1×1 pixels."""
    float16: float
    """Rms difference of the output in float16 from that in float32, relative to the output's rms."""
    mask: list[list[list[float]]]
    """|d output / d features| of one output, for each pixel of 2 samples × 3 channels, as rows of pixels."""


class Layer:
    """A layer of G or D with one normalization, as a function of features alone.

    Args:
        name: The normalization.
        network: "generator" or "discriminator".
        channels: Channels of input and output.
        side: Height and width.
    """

    def __init__(self, name: str, network: str, channels: int = CHANNELS, side: int = SIDE):
        torch.manual_seed(0)
        self.condition: Tensor | None = None
        self.module: EqualizedConv2d | SynthesisLayer
        if network == "generator":
            plan = GeneratorConfig(resolution=8, normalization=name).plan(Scalings())
            self.module = SynthesisLayer(
                channels, channels, 8, side, scalings=Scalings(), activation="linear", normalization=plan
            )
            nn.init.zeros_(self.module.affine.weight)  # styles of 1
        else:
            conditional = normalizations[name].conditional
            plan = DiscriminatorConfig(resolution=8, normalization=name, num_classes=2 * conditional).plan()
            self.module = EqualizedConv2d(
                channels, channels, 3, scalings=Scalings(), normalization=plan, num_conditions=2 * conditional
            )
            if conditional:
                self.condition = torch.tensor([[1.0, 0.0]])
                for linear in (m for m in self.module.modules() if isinstance(m, nn.Linear)):
                    nn.init.zeros_(linear.weight)

    def __call__(self, x: Tensor) -> Tensor:
        if isinstance(self.module, SynthesisLayer):
            y: Tensor = self.module(x, torch.zeros(len(x), 8, device=x.device), noise="none")
            return y
        condition = None if self.condition is None else self.condition.to(x).expand(len(x), -1)
        z: Tensor = self.module(x, condition=condition)
        return z

    def fresh(self) -> Layer:
        """A copy with its own state, so that one measurement does not change the next."""
        return copy.deepcopy(self)

    def on_features(self, x: Tensor) -> Tensor:
        """What the normalization makes of convolved features, which here replace the convolution of the input."""
        module, kind = self.module, self.module.normalization
        if kind.reads_input or isinstance(module, SynthesisLayer):
            return x
        features: Callable[..., Tensor] = kind.features
        return (
            features(x, self.condition.to(x).expand(len(x), -1))
            if self.condition is not None
            else features(x)
        )


def images(side: int = SIDE, channels: int = CHANNELS, batch: int = BATCH) -> Tensor:
    """Random images (N, C, H, W) of rms 1 over the batch, with contrasts from 0.5 to 2 over the samples."""
    contrast = torch.logspace(-1, 1, batch, base=2)
    contrast = contrast / contrast.square().mean().sqrt()
    x = torch.randn(batch, channels, side, side, generator=torch.Generator().manual_seed(1))
    return x * contrast[:, None, None, None]


def measure(name: str) -> Measurement:
    """Measure one normalization, on the CPU."""
    has_d = not normalizations[name].needs_styles
    place = "discriminator" if has_d else "generator"
    made, x = Layer(name, place), images()
    with torch.no_grad():
        rms_d = _rms(Layer(name, "discriminator")(x)) if has_d else math.nan
        rms_g = _rms(Layer(name, "generator")(x))
        made(x)  # what starts from the first batch has started
        y = made.fresh()(x)
        doubled = torch.cat([x[:1], 2 * x[1:]])
        heavier = made.fresh()
        heavier.module.weight.data *= 2
        bright = x.clone()
        bright[:, :, 0, 0] += 100
        corner = (..., slice(-8, None), slice(-8, None))
        values: dict[str, Any] = {
            "others": _rms((made.fresh()(doubled) - y)[0]) / _rms(y[0]),
            "input_twice": _rms(made.fresh()(2 * x)) / _rms(y),
            "weights_twice": _rms(heavier(x)) / _rms(y),
            "far": _rms((made.fresh()(bright) - y)[corner]) / _rms(y[corner]),
            "contrast": _slope(x, y),
            "batch_1": _rms(Layer(name, place)(images(batch=1))),
            "map_1": _rms(Layer(name, place, side=1)(images(side=1, batch=1))),
            "float16": _rms(made.fresh()(x.half()).float() - y) / _rms(y),
        }
    mask = _mask(made) if has_d else _mask(Layer("none", "discriminator"))
    return Measurement(
        name=name,
        rms_d=rms_d,
        rms_g=rms_g,
        samples=bool(mask[1].abs().sum() > 0),
        channels=bool(mask[0, 1:].abs().sum() > 0),
        pixels=bool(mask[0, 0].abs().sum() > mask[0, 0, 2, 2].abs()),
        finite=_finite(made),
        mask=mask.flatten(0, 1).tolist(),
        **values,
    )


def _rms(x: Tensor) -> float:
    return x.square().mean().sqrt().item()


def _slope(x: Tensor, y: Tensor) -> float:
    """Slope of log std of the outputs over log std of the inputs."""
    before, after = (t.flatten(1).std(dim=1).log() for t in (x, y))
    before = before - before.mean()
    return float((before * after).sum() / before.square().sum())


def _mask(layer: Layer) -> Tensor:
    """|d y / d x| of the middle pixel of sample 0 and channel 0, (2, 3, 5, 5), for features of 2 samples.

    Three channels are shown: the same, its neighbor, and the last.
    """
    layer = layer.fresh()
    torch.manual_seed(2)
    x = torch.randn(2, CHANNELS, 5, 5, requires_grad=True)
    y = layer.on_features(x)
    (gradient,) = torch.autograd.grad(y[0, 0, 2, 2], x)
    return gradient[:, [0, 1, CHANNELS - 1]].abs()


def _finite(layer: Layer) -> bool:
    x = torch.ones(2, CHANNELS, 8, 8, requires_grad=True)
    (gradient,) = torch.autograd.grad(layer.fresh()(x).square().sum(), x, create_graph=True)
    (second,) = torch.autograd.grad(gradient.square().sum(), x)
    return bool(gradient.isfinite().all() and second.isfinite().all())
