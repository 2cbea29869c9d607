"""Measurements of one normalization in one layer: a 3×3 convolution of random images of different contrast."""

from __future__ import annotations

import copy
import math
import statistics
import time
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
REFERENCE = "demodulation"


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
    time: float
    """Time of a forward and backward pass relative to demodulation."""
    memory: float
    """Numbers kept for the backward pass relative to demodulation."""
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
            y: Tensor = self.module(x, x.new_zeros(len(x), 8), noise="none")
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


def measure(name: str, device: torch.device, *, side: int, channels: int, repeats: int) -> Measurement:
    """Measure one normalization. Time and memory are those of layers of `channels` channels and `side`² pixels."""
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
        }
    mask = _mask(made) if has_d else _mask(Layer("none", "discriminator"))
    elapsed, kept = cost(name, device, side, channels, repeats)
    return Measurement(
        name=name,
        rms_d=rms_d,
        rms_g=rms_g,
        samples=bool(mask[1].abs().sum() > 0),
        channels=bool(mask[0, 1:].abs().sum() > 0),
        pixels=bool(mask[0, 0].abs().sum() > mask[0, 0, 2, 2].abs()),
        finite=_finite(made),
        time=elapsed,
        memory=kept,
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


def cost(name: str, device: torch.device, side: int, channels: int, repeats: int) -> tuple[float, float]:
    """Time and memory of a forward and backward pass of G's layer, relative to demodulation."""
    layers = {kind: Layer(kind, "generator", channels, side) for kind in (REFERENCE, name)}
    times: dict[str, list[float]] = {kind: [] for kind in layers}
    x = images(side, channels, 4).to(device)
    kept = {}
    for kind, layer in layers.items():
        layer.module.to(device)
        kept[kind] = _kept(layer, x)
    for _ in range(repeats):  # in turn, so that other work on the machine meets both
        for kind, layer in layers.items():
            times[kind].append(_seconds(layer, x))
    ratio = (
        min(times[name]) / min(times[REFERENCE])
        if device.type == "cpu"
        else (statistics.median(times[name]) / statistics.median(times[REFERENCE]))
    )
    return ratio, kept[name] / kept[REFERENCE]


def _seconds(layer: Layer, x: Tensor) -> float:
    x = x.detach().requires_grad_()
    _wait(x)
    clock = time.perf_counter if x.is_cuda else time.process_time  # other work on a CPU does not count
    start = clock()
    layer(x).square().mean().backward()
    _wait(x)
    return clock() - start


def _wait(x: Tensor) -> None:
    if x.is_cuda:
        torch.cuda.synchronize(x.device)


def _kept(layer: Layer, x: Tensor) -> int:
    """Bytes of different tensors that a forward pass keeps."""
    saved: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        saved[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    x = x.detach().requires_grad_()
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        y = layer(x)
    del y
    return sum(saved.values())
