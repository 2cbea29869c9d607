"""Each scaling switched off, and what a derivation of a few lines (docs/probe.md) predicts of it."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from stylegan2.probing import anatomy, influence
from stylegan2.probing.measure import Probe, probe
from stylegan2.training.module import StyleGAN2

ABLATIONS: dict[str, dict[str, object]] = {
    "weight_scaling=kaiming": {"scalings.weight_scaling": "kaiming"},
    "weight_scaling=none": {"scalings.weight_scaling": "none"},
    "activation_gain=1": {"scalings.activation_gain": 1.0},
    "residual_gain=1": {"scalings.residual_gain": 1.0},
    "mapping_lr_multiplier=1": {"scalings.mapping_lr_multiplier": 1.0},
    "latent_normalization=l2": {"scalings.latent_normalization": "l2"},
    "latent_normalization=none": {"scalings.latent_normalization": "none"},
    "style_normalization=none": {"scalings.style_normalization": "none"},
    "style_bias_init=0": {"scalings.style_bias_init": 0.0},
    "upsample_gain=0.25": {"scalings.upsample_gain": 0.25},
    "minibatch_stddev=false": {"scalings.minibatch_stddev": False},
    "noise=false": {"scalings.noise": False},
    "path_length.normalize_by_image_size=false": {"path_length.normalize_by_image_size": False},
    "lazy_regularization_correction=false": {"scalings.lazy_regularization_correction": False},
    "ema=null": {"ema": None},
    "clamp=null": {"scalings.clamp": None},
}
"""Every ablation by its name, and the options that make it."""


@dataclass(frozen=True)
class Pair:
    """Networks with a scaling on and off, and the images they are measured on."""

    on: StyleGAN2
    off: StyleGAN2
    reals: Tensor
    labels: Tensor

    def steps(self, layers: str) -> tuple[Probe, Probe]:
        """Both networks' probes of `generator` or `discriminator`."""
        found = []
        for model in (self.on, self.off):
            network = getattr(model, layers)
            z = torch.randn(len(self.reals), model.generator.z_dim).to(self.reals)
            first = z if layers == "generator" else self.reals
            found.append(probe(network, (first, self.labels), learning_rate=model.learning_rate))
        return found[0], found[1]


def _mean(values: Sequence[float]) -> float:
    """Geometric."""
    return math.exp(statistics.fmean(math.log(v) for v in values)) if values and min(values) > 0 else 0.0


def _body(p: Probe) -> list:
    """D's weighted layers up to the minibatch stddev, which ties layers after it to the batch."""
    return [r for r in p.layers if r.step is not None and not r.name.startswith(("mapping.", "b4."))]


def _fan_ins(model: StyleGAN2, names: Sequence[str]) -> list[float]:
    return [math.sqrt(model.discriminator.get_submodule(name).weight[0].numel()) for name in names]


def _kaiming(p: Pair):
    on, off = p.steps("discriminator")
    names = [r.name for r in _body(on)]
    ratios = [off[name].step / on[name].step for name in names]
    yield "D's Adam step, relative, off/on: mean √fan_in", _mean(_fan_ins(p.on, names)), _mean(ratios)
    with torch.no_grad():
        a, b = p.on.discriminator(p.reals, p.labels), p.off.discriminator(p.reals, p.labels)
    yield "logits at the start, off/on", 1.0, (b.norm() / a.norm()).item()


def _none(p: Pair):
    on, off = p.steps("discriminator")
    names = [r.name for r in _body(on)]
    gains = [off[n].rms / off[n].input_rms / (on[n].rms / on[n].input_rms) for n in names]
    yield "gain of a layer of D, off/on: mean √fan_in", _mean(_fan_ins(p.on, names)), _mean(gains)


def _activation(p: Pair):
    on, off = p.steps("generator")
    names = [r.name for r in on.layers if r.name.startswith("mapping.fc")]
    gains = [off[n].rms / off[n].input_rms for n in names]
    # The mean square of a leaky ReLU of slope 0.2 is that of its input times (1 + 0.04) / 2.
    yield "gain of a mapping layer: √0.52", math.sqrt(0.52), _mean(gains)
    gain = _mean(list(anatomy.block_gains(p.off.generator).values()))
    expected = 0.52
    if p.off.generator.config["architecture"] == "resnet":
        expected = math.sqrt((0.52**2 + 1) / 2)
    yield "gain of a block of G (two layers)", expected, gain


def _residual(p: Pair):
    if p.on.discriminator.config["architecture"] != "resnet":
        return
    on, off = (_mean(list(anatomy.block_gains(m.discriminator).values())) for m in (p.on, p.off))
    # Two branches of rms 1 and 1.04 (two leaky ReLUs of gain √2).
    yield "gain of a block of D, off: √2", math.sqrt(2), off
    yield "gain of a block of D, on: 1", 1.0, on
    growth = [influence.block_growth(m.discriminator, p.reals, p.labels) for m in (p.on, p.off)]
    yield "growth a block on real images, off/on: √2", math.sqrt(2), growth[1] / growth[0]
    yield "growth a block on real images, off", math.sqrt(2), growth[1]
    yield "growth a block on real images, on", 1.0, growth[0]


def _mapping_lr(p: Pair):
    on, off = p.steps("generator")
    names = [r.name for r in on.layers if r.name.startswith("mapping.fc")]
    yield "Adam step of the mapping network, off/on", 100.0, _mean([off[n].step / on[n].step for n in names])


def _l2(p: Pair):
    on, off = p.steps("generator")
    z_dim = p.on.generator.z_dim
    measured = off["mapping.fc0"].input_rms
    predicted = 1 / math.sqrt(z_dim)
    if p.on.generator.num_classes:  # label and latent enter side by side, each of length 1
        predicted = math.sqrt(2 / (z_dim + p.on.generator.w_dim))
    yield "rms of what enters the mapping network: 1/√dim", predicted, measured


def _raw(p: Pair):
    z = torch.randn(4096, p.on.generator.z_dim)
    spread = p.off.generator.mapping.normalize(z).square().mean(dim=1).sqrt().std().item()
    # The rms of dim unit normal numbers has the standard deviation 1/√(2·dim).
    yield "spread of the latents' rms: 1/√(2·dim)", 1 / math.sqrt(2 * p.on.generator.z_dim), spread


def _style_norm(p: Pair):
    for state, model, expected in (("off", p.off, 2.0), ("on", p.on, 1.0)):
        found = anatomy.style_response(model.generator)
        layers = [v for k, v in found.items() if not k.endswith("torgb")]
        yield f"features when a layer's styles double, {state}", expected, _mean(layers)


def _style_bias(p: Pair):
    for state, model, expected in (("off", p.off, 0.0), ("on", p.on, 1.0)):
        w = model.generator.mapping(*anatomy.latents(model.generator, 64))[:, 0]
        means = [layer.affine(w).mean().item() for layer in influence.synthesis_layers(model.generator)]
        yield f"mean of the styles, {state}", expected, statistics.fmean(means)


def _upsample(p: Pair):
    gains = anatomy.filter_gains(p.off.generator, p.off.discriminator)
    yield "DC gain of an up-sampling", 0.25, _mean([v for k, v in gains.items() if k.startswith("G.")])
    stages = [gains[f"G.synthesis.b{r}.conv0"] for r in p.off.generator.synthesis.resolutions[1:]]
    yield "gain from 4×4 to the last features", 0.25 ** len(stages), math.prod(stages)


def _stddev(p: Pair):
    for state, model, expected in (("off", p.off, 0.0), ("on", p.on, 1.0)):
        with torch.no_grad():
            before = model.discriminator(p.reals, p.labels)
            others = p.reals.clone()
            others[1:] *= 0.5
            change = (model.discriminator(others, p.labels) - before)[0].abs().item()
        yield f"a logit depends on the other images (0 or 1), {state}", expected, float(change > 1e-6)


def _noise(p: Pair):
    z, c = anatomy.latents(p.off.generator, 2)
    found = influence.noise_influence(p.off.generator, z, c)
    yield "std of the image across noise, off", 0.0, found["image_std_noise_at_strength_1"]


def _path(p: Pair):
    g = p.on.generator
    ws = g.mapping(*anatomy.latents(g, 4)).detach().requires_grad_()
    y = torch.randn(4, g.img_channels, g.resolution, g.resolution).to(p.reals)
    lengths = [influence.path_lengths(model, ws, y).mean().item() for model in (p.on, p.off)]
    yield "path length, off/on: √(H·W)", float(g.resolution), lengths[1] / lengths[0]


def _lazy(p: Pair):
    pairs = zip(
        "GD",
        p.on.configure_optimizers(),
        p.off.configure_optimizers(),
        (p.on.path_length.every, p.on.r1.every),
    )
    for letter, on, off, every in pairs:
        if every:
            ratio = off.param_groups[0]["lr"] / on.param_groups[0]["lr"]
            yield f"learning rate of {letter}, off/on: (k + 1)/k", (every + 1) / every, ratio
            weight = p.off.scalings.lazy(every).weight / p.on.scalings.lazy(every).weight
            yield f"weight of {letter}'s penalty, off/on: 1/k", 1 / every, weight


def _ema(p: Pair):
    yield "averages kept, off", 0.0, float(p.off.average is not None)


def _clamp(p: Pair):
    on, off = p.steps("generator")
    yield "layers of rms above 256 at the start, off", 0.0, float(sum(r.rms > 256 for r in off.rows))
    last = max(r.rms for r in off.rows) / max(r.rms for r in on.rows)
    yield "largest rms, off/on", 1.0, last


CLAIMS = dict(
    zip(
        ABLATIONS,
        (
            _kaiming,
            _none,
            _activation,
            _residual,
            _mapping_lr,
            _l2,
            _raw,
            _style_norm,
            _style_bias,
            _upsample,
            _stddev,
            _noise,
            _path,
            _lazy,
            _ema,
            _clamp,
        ),
        strict=True,
    )
)
"""By ablation: a pair to (quantity, predicted, measured), one after the other."""
