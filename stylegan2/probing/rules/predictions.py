"""Predictions of theory for networks with one scaling switched off, and their measurements.

Each prediction is a number that follows from a short derivation in docs/probe.md. The models with the scaling on and
off are built from the same seed, so they share their random weights wherever shapes agree.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean, geometric_mean, stdev
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from stylegan2.networks.config import GeneratorConfig
from stylegan2.networks.generator import Generator
from stylegan2.networks.scalings import Scalings
from stylegan2.probing.measure import blocks, networks
from stylegan2.probing.measure.isolation import restored
from stylegan2.probing.measure.layers import Probe, probe
from stylegan2.probing.rules.networks import existing
from stylegan2.sizes import side
from stylegan2.training.regularizers.path_length import PathLength

if TYPE_CHECKING:
    from stylegan2.training.module import StyleGAN2

Build = Callable[[Mapping[str, object], int], "StyleGAN2"]
"""Builds networks and losses. The arguments are the options to change, by their names below `model`, and a seed."""


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """One prediction and its measurements, one per seed."""

    ablation: str
    quantity: str
    predicted: float
    measured: list[float]

    @property
    def mean(self) -> float:
        return fmean(self.measured)

    @property
    def spread(self) -> float:
        """Standard deviation over seeds. It is 0 for a single seed."""
        return spread(self.measured)


def spread(values: Sequence[float]) -> float:
    """Standard deviation of some values. It is 0 for a single value."""
    return stdev(values) if len(values) > 1 else 0.0


@dataclass(frozen=True)
class Pair:
    """Models with a scaling on and off, and the real images and labels for measuring them."""

    on: StyleGAN2
    off: StyleGAN2
    reals: Tensor
    labels: Tensor

    def probes(self, network: str) -> tuple[Probe, Probe]:
        """Probes of the `generator` or the `discriminator` of both models: (on, off)."""
        found = []
        for model in (self.on, self.off):
            z = torch.randn(len(self.reals), model.generator.z_dim).to(self.reals)
            inputs = (z if network == "generator" else self.reals, self.labels)
            found.append(probe(getattr(model, network), inputs, learning_rate=model.learning_rate))
        return found[0], found[1]


def check_theory(
    build: Build,
    reals: Tensor,
    labels: Tensor,
    ablations: Mapping[str, Mapping[str, object]],
    seeds: Sequence[int] = (0, 1, 2),
) -> list[Prediction]:
    """Measure at initialization what theory predicts for each ablation.

    Args:
        build: Builds networks and losses.
        reals: Real images (N, C, R, R) in [-1, 1].
        labels: (N, num_classes).
        ablations: The options that each ablation changes, by its name. Names that are not in PREDICTIONS are
            left out.
        seeds: Seeds. Each gives one pair of models.
    """
    found: dict[tuple[str, str], tuple[float, list[float]]] = {}
    for seed in seeds:
        for name in (name for name in ablations if name in PREDICTIONS):
            pair = Pair(build({}, seed), build(ablations[name], seed), reals, labels)
            on, off = pair.on.generator, pair.off.generator
            with restored(pair.on, seed), networks.evaluating(on), networks.evaluating(off):
                for quantity, predicted, measured in PREDICTIONS[name](pair):
                    found.setdefault((name, quantity), (predicted, []))[1].append(measured)
    return [
        Prediction(ablation=name, quantity=quantity, predicted=predicted, measured=measured)
        for (name, quantity), (predicted, measured) in found.items()
    ]


def path_length_by_resolution(
    config: GeneratorConfig,
    scalings: Scalings,
    resolutions: Sequence[int],
    seeds: Sequence[int] = (0, 1, 2),
    batch: int = 4,
) -> list[dict[str, Any]]:
    """Path lengths of untrained generators of one configuration at several resolutions.

    Args:
        config: Configuration of the generator. Its resolution is not used.
        scalings: Scalings of the generator.
        resolutions: Powers of two.
        seeds: Seeds. Each gives one generator per resolution.
        batch: Latents per generator.

    Returns:
        One dictionary per resolution. `resolution` is the resolution. `with` and `without` are lists of path
        lengths over seeds, with and without the division by √(H·W).
    """
    rows = []
    for resolution in resolutions:
        lengths: dict[str, list[float]] = {"with": [], "without": []}
        for seed in seeds:
            with torch.random.fork_rng():
                torch.manual_seed(seed)
                generator = Generator(replace(config, resolution=resolution, base=(4, 4)), scalings).eval()
                loss = PathLength(normalize_by_image_size=False)
                found = networks.path_lengths(generator, loss, *blocks.latents(generator, batch))
            lengths["without"].append(found["path_length"])
            lengths["with"].append(found["path_length_normalized"])
        rows.append({"resolution": resolution, **lengths})
    return rows


Measurements = Iterator[tuple[str, float, float]]
"""Tuples (quantity, predicted, measured)."""


def _mean(values: Iterable[float]) -> float:
    """Geometric mean of some values. It is 0 if one of them is 0."""
    values = list(values)
    return geometric_mean(values) if values and min(values) > 0 else 0.0


def _body(p: Probe) -> list[str]:
    """Names of the layers of D that have weights and come before the minibatch stddev.

    The layers after it are left out, because their signal depends on the batch.
    """
    return [r.name for r in p.layers if r.step is not None and not r.name.startswith(("mapping.", "b4."))]


def _root_fan_in(model: StyleGAN2, names: Sequence[str]) -> float:
    """Geometric mean of √fan_in over layers of D."""
    weights = [model.discriminator.get_parameter(f"{name}.weight") for name in names]
    return _mean(math.sqrt(weight[0].numel()) for weight in weights)


def _mapping_layers(p: Probe) -> list[str]:
    return [r.name for r in p.layers if r.name.startswith("mapping.fc")]


def _layer_gain(p: Probe, name: str) -> float:
    """rms of a layer's output over that of its input."""
    return p[name].rms / existing(p[name].input_rms)


def _kaiming(p: Pair) -> Measurements:
    on, off = p.probes("discriminator")
    names = _body(on)
    ratios = [existing(off[n].step) / existing(on[n].step) for n in names]
    yield "D's Adam step, relative, off/on: mean √fan_in", _root_fan_in(p.on, names), _mean(ratios)
    with torch.no_grad():
        a, b = p.on.discriminator(p.reals, p.labels), p.off.discriminator(p.reals, p.labels)
    yield "logits at the start, off/on", 1.0, (b.norm() / a.norm()).item()


def _unscaled(p: Pair) -> Measurements:
    on, off = p.probes("discriminator")
    names = _body(on)
    gains = [_layer_gain(off, n) / _layer_gain(on, n) for n in names]
    yield "gain of a layer of D, off/on: mean √fan_in", _root_fan_in(p.on, names), _mean(gains)


def _activation(p: Pair) -> Measurements:
    _, off = p.probes("generator")
    gains = [_layer_gain(off, n) for n in _mapping_layers(off)]
    # The mean square of a leaky ReLU of slope 0.2 is that of its input times (1 + 0.04) / 2.
    yield "gain of a mapping layer: √0.52", math.sqrt(0.52), _mean(gains)
    expected = 0.52
    if p.off.generator.config.architecture == "resnet":
        expected = math.sqrt((0.52**2 + 1) / 2)
    gain = _mean(blocks.block_gains(p.off.generator).values())
    yield "gain of a block of G (two layers)", expected, gain


def _residual(p: Pair) -> Measurements:
    if p.on.discriminator.config.architecture != "resnet":
        return
    on, off = (_mean(blocks.block_gains(m.discriminator).values()) for m in (p.on, p.off))
    # The branches have rms 1 and 1.04, because each of two leaky ReLUs with gain √2 contributes 1.02.
    yield "gain of a block of D, off: √2", math.sqrt(2), off
    yield "gain of a block of D, on: 1", 1.0, on
    on, off = (networks.block_growth(m.discriminator, p.reals, p.labels) for m in (p.on, p.off))
    yield "growth per block on real images, off/on: √2", math.sqrt(2), off / on
    yield "growth per block on real images, off", math.sqrt(2), off
    yield "growth per block on real images, on", 1.0, on


def _mapping_lr(p: Pair) -> Measurements:
    on, off = p.probes("generator")
    ratios = [existing(off[n].step) / existing(on[n].step) for n in _mapping_layers(on)]
    yield "Adam step of the mapping network, off/on", 100.0, _mean(ratios)


def _l2(p: Pair) -> Measurements:
    _, off = p.probes("generator")
    g = p.on.generator
    predicted = 1 / math.sqrt(g.z_dim)
    if g.num_classes:  # the latent and the embedded label are concatenated, and each has length 1
        predicted = math.sqrt(2 / (g.z_dim + g.w_dim))
    yield "rms of the mapping network's input: 1/√dim", predicted, existing(off["mapping.fc0"].input_rms)


def _raw_latents(p: Pair) -> Measurements:
    z = torch.randn(4096, p.on.generator.z_dim)
    measured = p.off.generator.mapping.normalize(z).square().mean(dim=1).sqrt().std().item()
    # The rms of dim numbers ~ N(0, 1) has the standard deviation 1/√(2·dim).
    yield "spread of the latents' rms: 1/√(2·dim)", 1 / math.sqrt(2 * p.on.generator.z_dim), measured


def _style_normalization(p: Pair) -> Measurements:
    for state, model, expected in (("off", p.off, 2.0), ("on", p.on, 1.0)):
        found = blocks.style_response(model.generator)
        layers = [v for k, v in found.items() if not k.endswith("torgb")]
        yield f"features when a layer's styles double, {state}", expected, _mean(layers)


def _style_bias(p: Pair) -> Measurements:
    for state, model, expected in (("off", p.off, 0.0), ("on", p.on, 1.0)):
        w = model.generator.mapping(*blocks.latents(model.generator, 64))[:, 0]
        means = [layer.affine(w).mean().item() for layer in networks.synthesis_layers(model.generator)]
        yield f"mean of the styles, {state}", expected, fmean(means)


def _upsample(p: Pair) -> Measurements:
    gains = blocks.filter_gains(p.off.generator, p.off.discriminator)
    ups = [gain for name, gain in gains.items() if name.startswith("G.")]
    yield "DC gain of an up-sampling", 0.25, _mean(ups)
    stages = [gains[f"G.synthesis.b{r}.conv0"] for r in p.off.generator.synthesis.resolutions[1:]]
    yield "gain from 4×4 to the last features", 0.25 ** len(stages), math.prod(stages)


def _minibatch_stddev(p: Pair) -> Measurements:
    for state, model, expected in (("off", p.off, 0.0), ("on", p.on, 1.0)):
        with torch.no_grad():
            before = model.discriminator(p.reals, p.labels)
            others = p.reals.clone()
            others[1:] *= 0.5
            change = (model.discriminator(others, p.labels) - before)[0].abs().item()
        yield f"a logit depends on the other images (0 or 1), {state}", expected, float(change > 1e-6)


def _noise(p: Pair) -> Measurements:
    z, c = blocks.latents(p.off.generator, 2)
    found = networks.noise_influence(p.off.generator, z, c)
    yield "std of the image across noise, off", 0.0, found["image_std_noise_at_strength_1"]


def _path_length(p: Pair) -> Measurements:
    found = networks.path_lengths(
        p.on.generator, networks.path_length_of(p.off), *blocks.latents(p.on.generator, 4)
    )
    ratio = found["path_length"] / found["path_length_normalized"]
    yield "path length, off/on: √(H·W)", side(p.on.generator.image_size), ratio


def _lazy(p: Pair) -> Measurements:
    adams = zip("GD", p.on.configure_optimizers(), p.off.configure_optimizers())
    intervals = [p.on.regularizers[name].every for name in ("path_length", "r1")]
    for (letter, on, off), every in zip(adams, intervals):
        if every:
            ratio = off.param_groups[0]["lr"] / on.param_groups[0]["lr"]
            yield f"learning rate of {letter}, off/on: (k + 1)/k", (every + 1) / every, ratio
            weight = p.off.config.scalings.lazy(every).weight / p.on.config.scalings.lazy(every).weight
            yield f"weight of {letter}'s penalty, off/on: 1/k", 1 / every, weight


def _ema(p: Pair) -> Measurements:
    yield "number of EMAs, off", 0.0, float(p.off.generator_ema is not None)


def _clamp(p: Pair) -> Measurements:
    on, off = p.probes("generator")
    yield "layers of rms above 256 at the start, off", 0.0, float(sum(r.rms > 256 for r in off.rows))
    yield "largest rms, off/on", 1.0, max(r.rms for r in off.rows) / max(r.rms for r in on.rows)


PREDICTIONS: dict[str, Callable[[Pair], Measurements]] = {
    "weight_scaling=kaiming": _kaiming,
    "weight_scaling=none": _unscaled,
    "activation_gain=1": _activation,
    "residual_gain=1": _residual,
    "mapping_lr_multiplier=1": _mapping_lr,
    "latent_normalization=l2": _l2,
    "latent_normalization=none": _raw_latents,
    "style_normalization=none": _style_normalization,
    "style_bias_init=0": _style_bias,
    "upsample_gain=0.25": _upsample,
    "minibatch_stddev=false": _minibatch_stddev,
    "noise=false": _noise,
    "path_length.normalize_by_image_size=false": _path_length,
    "lazy_regularization_correction=false": _lazy,
    "ema=null": _ema,
    "clamp=null": _clamp,
}
"""The measurements of each ablation, by its name."""
