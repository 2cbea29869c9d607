"""Measurements of a generator, a discriminator and their losses on a batch of real images."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from tqdm import tqdm

from stylegan2.networks.discriminator import Discriminator
from stylegan2.networks.generator import Generator
from stylegan2.networks.layers import SynthesisLayer
from stylegan2.networks.scalings import Scalings
from stylegan2.probing.measure import blocks
from stylegan2.probing.measure.isolation import restored
from stylegan2.probing.measure.layers import Probe, probe
from stylegan2.probing.measure.recording import rms
from stylegan2.probing.measure.residual import residual_blocks
from stylegan2.probing.rules.networks import Finding, model_findings
from stylegan2.training.regularizers.path_length import PathLength
from stylegan2.training.regularizers.r1 import R1

if TYPE_CHECKING:
    from stylegan2.training.module import StyleGAN2

DRAWS = 4
"""Number of images of one latent, each with other noise, that measure the influence of noise."""


@dataclass(frozen=True, kw_only=True)
class ModelProbe:
    """The result of `probe_model`: measurements as plain data, and findings."""

    iteration: int
    generator: Probe
    discriminator: Probe
    numbers: dict[str, Any]
    """Measurements of the whole networks and their losses on the batch."""
    blocks: dict[str, Any]
    """Measurements of single blocks and layers on the inputs of `stylegan2.probing.measure.blocks`."""
    settings: dict[str, Any]
    """The settings that the rules use: intervals, batch, learning rates."""
    findings: list[Finding] = field(default_factory=list)

    @property
    def faults(self) -> list[Finding]:
        return [f for f in self.findings if f.fault]

    def to_dict(self) -> dict[str, Any]:
        """Plain data, for JSON."""
        return asdict(self)


def probe_model(
    model: StyleGAN2, reals: Tensor, labels: Tensor, seed: int = 0, progress: bool = False
) -> ModelProbe:
    """Measure networks and losses on a batch, and apply all rules. The model is not changed.

    Args:
        model: Networks and losses.
        reals: Real images (N, C, R, R) in [-1, 1]. N is a multiple of the discriminator's minibatch group, or
            smaller than the group.
        labels: (N, num_classes).
        seed: Seed of latents, noise and all other random numbers.
        progress: Show a bar with the time left if the measurement takes more than a few seconds.
    """
    g, d, n, trained = model.generator, model.discriminator, len(reals), model.iteration > 0
    few = min(max(n // 2, 1), 3)
    passes = 12 * n + max(n, 4) + 2 * DRAWS + (g.num_ws + 1) * (max(n, 2) // 2) + 2 * few
    with _progress_bar(model, passes, progress), restored(model, seed), evaluating(g):
        z = torch.randn(n, g.z_dim, generator=torch.Generator().manual_seed(seed)).to(reals)
        lr = model.learning_rate
        with torch.no_grad():
            fakes, real_logits = g(z, labels), d(reals, labels)
        generator = probe(
            g,
            (z, labels),
            lambda images: model.loss.generator(d(images, labels), real_logits),
            learning_rate=lr,
            seed=seed,
        )
        discriminator = probe(
            d,
            (reals, labels),
            lambda logits: model.loss.discriminator(d(fakes, labels), logits),
            learning_rate=lr,
            seed=seed,
        )
        with restored(model, seed):
            numbers = _numbers(model, reals, labels)
        numbers |= path_lengths(g, path_length_of(model), z[:few], labels[:few])
        # The rules are about the construction, and training may change the size of weights for good reasons.
        # A trained network is therefore measured with weights of their initial size.
        parts = {
            "block_gains_generator": blocks.block_gains(g, initial=trained),
            "block_gains_discriminator": blocks.block_gains(d, initial=trained),
            "filter_gains": blocks.filter_gains(g, d),
            "style_response": blocks.style_response(g),
            "image_layer_gains": blocks.image_layer_gains(g, initial=trained),
            "doubled_latent": blocks.doubled_latent(g),
            "low_precision": blocks.low_precision_errors(g, d, z[:2], reals[:2], labels[:2]),
        }
    found = ModelProbe(
        iteration=model.iteration,
        generator=generator,
        discriminator=discriminator,
        numbers=numbers,
        blocks=parts,
        settings=settings(model),
    )
    return replace(found, findings=list(model_findings(found)))


def settings(model: StyleGAN2) -> dict[str, Any]:
    """The settings of the configuration that the rules use, as plain data."""
    scalings = model.config.scalings
    penalties = {name: r for name, r in model.regularizers.items() if r.every}
    intervals = [
        min((r.every for r in penalties.values() if r.network == network), default=0)
        for network in ("generator", "discriminator")
    ]
    optimizers = zip("GD", model.configure_optimizers(), intervals)
    return {
        "resolution": model.generator.resolution,
        "designed_growth": {
            name: designed_growth(scalings, getattr(model, name).config.depth)
            for name in ("generator", "discriminator")
        },
        "noise": scalings.noise,
        "minibatch_stddev": model.discriminator.b4.stddev_channels > 0,
        "minibatch_group": model.discriminator.minibatch_group,
        "images_at_once": model.batch_per_device or model.batch,
        "penalties": {
            name: {"every": penalty.every, "weight": scalings.lazy(penalty.every).weight}
            for name, penalty in penalties.items()
        },
        "learning_rate": model.learning_rate,
        "betas": list(model.config.betas),
        "optimizers": {
            name: {"every": every, "lr": group["lr"], "betas": list(group["betas"])}
            for name, optimizer, every in optimizers
            for group in optimizer.param_groups
        },
    }


def designed_growth(scalings: Scalings, blocks: int) -> float:
    """The factor on the rms that each residual block has on purpose: 1, except for the named kinds of residual_gain.

    Those leave the skip branch as it is, so that the other branch adds to the variance once it is learned.
    """
    if not isinstance(scalings.residual_gain, str) or blocks == 0:
        return 1.0
    factors = scalings.residual(blocks)
    return math.hypot(factors.skip, factors.hidden * factors.branch)


def _numbers(model: StyleGAN2, reals: Tensor, labels: Tensor) -> dict[str, Any]:
    g, d, n = model.generator, model.discriminator, len(reals)
    z = torch.randn(max(n, 4), g.z_dim).to(reals)
    numbers: dict[str, Any] = latent_influence(g, z, labels)
    numbers |= noise_influence(g, z, labels)
    numbers["rows"] = row_influence(g, z[: max(n, 2)], labels)
    numbers |= logits_and_losses(model, reals, labels, z[:n])
    numbers["discriminator_growth"] = block_growth(d, reals, labels)
    numbers["residual_blocks"] = [
        asdict(b) | {"keeping": b.keeping} for b in residual_blocks(d, reals, labels)
    ]
    affines = [layer.affine for layer in synthesis_layers(g)]
    biases = [affine.get_parameter("bias").mean().item() * affine.bias_gain for affine in affines]
    numbers["style_bias"] = sum(biases) / len(biases)
    for regularizer in model.regularizers.values():
        numbers |= {name: model.get_buffer(name).item() for name in regularizer.state}
    if model.generator_ema is not None:
        ours, theirs = model.generator_ema.mapping.w_avg, g.mapping.w_avg
        numbers["ema_distance"] = relative_distance(model.generator_ema.parameters(), g.parameters())
        numbers["ema_w_avg_distance"] = ((ours - theirs).norm() / theirs.norm().clamp_min(1e-3)).item()
    return numbers


@torch.no_grad()
def latent_influence(generator: Generator, z: Tensor, c: Tensor) -> dict[str, float]:
    """Standard deviation across z (N, z_dim) of the image and of w, with the same noise and the first label."""
    c = c[:1].expand(len(z), -1)
    ws = generator.mapping(z, c)
    images = _images(generator, ws, "const")
    return {
        "image_rms": rms(images),
        "image_std_z": _std(images),
        "w_rms": rms(ws),
        "w_std_z": _std(ws[:, 0]),
    }


@torch.no_grad()
def noise_influence(generator: Generator, z: Tensor, c: Tensor) -> dict[str, float]:
    """Standard deviation of one latent's image across noise, with the noise strengths as they are and set to 1."""
    ws = generator.mapping(z[:1], c[:1]).expand(DRAWS, -1, -1)
    strengths = [layer.noise_strength for layer in synthesis_layers(generator) if layer.has_noise]
    numbers = {"image_std_noise": _std(_images(generator, ws, "random"))}
    before = [s.clone() for s in strengths]
    for s in strengths:
        s.fill_(1)
    numbers["image_std_noise_at_strength_1"] = _std(_images(generator, ws, "random"))
    for s, value in zip(strengths, before):
        s.copy_(value)
    return numbers


@torch.no_grad()
def row_influence(generator: Generator, z: Tensor, c: Tensor) -> list[float]:
    """Influence of each row of ws: rms of the change of the image when the row is that of another latent, over √2.

    The factor √2 is there because the difference of two independent images has twice the variance of one image.
    Images of the first half of z (N, z_dim) get rows of the second half.
    """
    n = len(z) // 2
    ws, others = generator.mapping(z[: 2 * n], c[:1].expand(2 * n, -1)).split(n)
    images = generator.synthesis(ws, noise="const").float()
    found = []
    for row in range(ws.shape[1]):
        changed = ws.clone()
        changed[:, row] = others[:, row]
        found.append(rms(generator.synthesis(changed, noise="const").float() - images) / math.sqrt(2))
    return found


def logits_and_losses(model: StyleGAN2, reals: Tensor, labels: Tensor, z: Tensor) -> dict[str, float]:
    """Standard deviations of the logits, the losses, mean ‖∇ₓD‖², R1, and R1 over the discriminator's loss."""
    with torch.no_grad():
        fakes = model.generator(z, labels)
        real_logits, fake_logits = model.discriminator(reals, labels), model.discriminator(fakes, labels)
        loss_d = model.loss.discriminator(fake_logits, real_logits).item()
    x = reals.detach().clone().requires_grad_()
    (gradient,) = torch.autograd.grad(model.discriminator(x, labels).sum(), x)
    r1 = model.regularizers.get("r1")
    r1 = r1 if isinstance(r1, R1) else R1(gamma=1.0)
    penalty = r1(lambda images: model.discriminator(images, labels), reals).item()
    return {
        "logits_std_real": real_logits.std(unbiased=False).item(),
        "logits_std_fake": fake_logits.std(unbiased=False).item(),
        "loss_d": loss_d,
        "loss_g": model.loss.generator(fake_logits, real_logits).item(),
        "gradient_norm_squared": gradient.double().flatten(1).square().sum(dim=1).mean().item(),
        "r1": penalty,
        "r1_per_loss": penalty / max(abs(loss_d), 1e-30),
    }


def path_length_of(model: StyleGAN2) -> PathLength:
    """The path length regularizer of the configuration, or the default one if the configuration has none."""
    found = model.regularizers.get("path_length")
    return found if isinstance(found, PathLength) else PathLength()


def path_lengths(generator: Generator, loss: PathLength, z: Tensor, c: Tensor) -> dict[str, float]:
    """Mean path length of latents z (N, z_dim) with the given loss, and with y/√(H·W) if it does not normalize y."""
    ws = generator.mapping(z, c).detach().requires_grad_()
    y = torch.randn(len(z), generator.img_channels, *generator.image_size).to(z)
    lengths = [
        each.lengths(lambda ws: generator.synthesis(ws, noise="const"), ws, lambda _: y).mean().item()
        for each in (loss, replace(loss, normalize_by_image_size=loss.normalize_by_image_size or True))
    ]
    return {"path_length": lengths[0], "path_length_normalized": lengths[1]}


@torch.no_grad()
def relative_distance(a: Iterator[Tensor], b: Iterator[Tensor]) -> float:
    """Root mean square over pairs of weight tensors of ‖a - b‖/‖b‖. Biases are left out, because they can be 0."""
    ratios = []
    for x, y in zip(a, b):
        if y.ndim >= 2 and (length := y.float().norm().item()) > 0:
            ratios.append(((x.to(y) - y).float().norm().item() / length) ** 2)
    return math.sqrt(sum(ratios) / max(len(ratios), 1))


@torch.no_grad()
def block_growth(discriminator: Discriminator, reals: Tensor, labels: Tensor) -> float:
    """Growth of the rms per block of D on the given images (geometric mean)."""
    found: list[float] = []
    first = getattr(discriminator, f"b{discriminator.resolutions[0]}")
    handles = [first.fromrgb.register_forward_hook(lambda m, args, out: found.append(rms(out)))]
    for r in discriminator.resolutions:
        block = getattr(discriminator, f"b{r}")
        handles.append(block.register_forward_hook(lambda m, args, out: found.append(rms(out[0]))))
    try:
        discriminator(reals, labels)
    finally:
        for handle in handles:
            handle.remove()
    return (found[-1] / found[0]) ** (1 / len(discriminator.resolutions)) if found[0] else float("nan")


def synthesis_layers(generator: Generator) -> list[SynthesisLayer]:
    return [layer for layer in generator.synthesis.modules() if isinstance(layer, SynthesisLayer)]


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Evaluation mode inside the block, so that a generator does not update its running mean of w."""
    training = module.training
    module.eval()
    try:
        yield
    finally:
        module.train(training)


@contextmanager
def _progress_bar(model: StyleGAN2, passes: int, show: bool) -> Iterator[None]:
    """A bar that counts the images of all forward passes through either network."""
    networks = (model.generator.synthesis, model.discriminator)
    with tqdm(total=passes, disable=not show, delay=5, desc="Probing", unit="pass", leave=False) as bar:

        def count(module: nn.Module, args: tuple[Any, ...], out: object) -> None:
            bar.update(len(args[0]))  # returns a bool, which would replace the output if the hook returned it

        handles = [network.register_forward_hook(count) for network in networks]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()


def _images(generator: Generator, ws: Tensor, noise: str) -> Tensor:
    """Images of ws, generated 2 megapixels at a time to limit the memory for the features."""
    parts = ws.split(max(2**21 // math.prod(generator.image_size), 1))
    return torch.cat([generator.synthesis(part, noise).float() for part in parts])


def _std(x: Tensor) -> float:
    """Square root of the unbiased variance along the first dimension, averaged over the other dimensions."""
    return x.float().var(dim=0).mean().sqrt().item()
