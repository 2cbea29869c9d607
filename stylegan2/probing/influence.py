"""What reaches the image, and what the losses are made of: numbers of the networks as wholes."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import torch
from torch import Tensor

from stylegan2.networks.discriminator import Discriminator
from stylegan2.networks.generator import Generator
from stylegan2.networks.layers import Noise, SynthesisLayer
from stylegan2.probing.measure import as_found, rms
from stylegan2.training.losses import discriminator_loss, generator_loss
from stylegan2.training.module import StyleGAN2

DRAWS = 4
"""Images of one latent with noise drawn anew."""


def measure_influence(
    model: StyleGAN2,
    reals: Tensor,
    labels: Tensor,
    seed: int = 0,
    advance: Callable[[int], object] = lambda passes: None,
) -> dict:
    """Numbers of the networks and losses on a batch, by name; images are in [-1, 1], lengths in their units.

    Args:
        model: Networks and losses.
        reals: (N, C, R, R) in [-1, 1].
        labels: (N, num_classes).
        seed: Of latents and noise.
        advance: Told how many passes of one image have been done, `influence_passes` in all.

    Returns:
        Scalars, and lists where there is one number a row of ws.
    """
    generator, n = model.generator, len(reals)
    with as_found(model, seed), evaluating(generator):
        z = torch.randn(max(n, 4), generator.z_dim).to(reals)
        numbers = latent_influence(generator, z, labels)
        advance(len(z))
        numbers |= noise_influence(generator, z, labels)
        advance(2 * DRAWS + 3)
        numbers["rows"] = row_influence(generator, z[: max(n, 2)], labels, advance)
        numbers |= logits_and_losses(model, reals, labels, z[:n])
        advance(9 * n)
        numbers["path_length_mean"] = model.path_length_mean.item()
        if model.average is not None:
            numbers["ema_distance"] = ema_distance(model)
        numbers["discriminator_growth"] = block_growth(model.discriminator, reals, labels)
        advance(n)
    return numbers


def influence_passes(n: int, rows: int) -> int:
    """Passes of one image through one network in `measure_influence`; one back counts as two."""
    return max(n, 4) + 2 * DRAWS + 3 + (rows + 1) * (max(n, 2) // 2) + 10 * n


class evaluating:
    """The generator in evaluation mode, so that looking at it does not move its running mean of w."""

    def __init__(self, module: torch.nn.Module):
        self.module, self.training = module, module.training

    def __enter__(self) -> None:
        self.module.eval()

    def __exit__(self, *_: object) -> None:
        self.module.train(self.training)


@torch.no_grad()
def latent_influence(generator: Generator, z: Tensor, c: Tensor) -> dict:
    """Standard deviation across z of image and w, with the same noise and, labels given, the same label."""
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
def noise_influence(generator: Generator, z: Tensor, c: Tensor) -> dict:
    """Standard deviation across noise of one latent's image, with strengths as they are and all 1."""
    ws = generator.mapping(z[:1], c[:1]).expand(DRAWS, -1, -1)
    strengths = [layer.noise_strength for layer in synthesis_layers(generator) if layer.has_noise]
    numbers = {"image_std_noise": _std(_images(generator, ws, "random"))}
    kept = [s.clone() for s in strengths]
    for s in strengths:
        s.fill_(1)
    numbers["image_std_noise_at_strength_1"] = _std(_images(generator, ws, "random"))
    for s, value in zip(strengths, kept):
        s.copy_(value)
    numbers["dead_noise_layers"] = _dead_noise(generator, ws[:1])
    return numbers


@torch.enable_grad()
def _dead_noise(generator: Generator, ws: Tensor) -> list[str]:
    """Layers whose noise strength has no gradient: it could never grow from 0."""
    names = {id(layer): name for name, layer in generator.synthesis.named_modules()}
    layers = [layer for layer in synthesis_layers(generator) if layer.has_noise]
    if not layers:
        return []
    images = generator.synthesis(ws, noise="random")
    strengths = [layer.noise_strength for layer in layers]
    found = torch.autograd.grad((images * torch.randn_like(images)).sum(), strengths, allow_unused=True)
    return [names[id(layer)] for layer, g in zip(layers, found) if g is None or not g.abs() > 0]


@torch.no_grad()
def row_influence(
    generator: Generator, z: Tensor, c: Tensor, advance: Callable[[int], object] = lambda passes: None
) -> list[float]:
    """rms of the image's change, over √2, when one row of ws is another latent's: one number a row.

    Over √2, since a difference of two independent images has twice their variance. Images of the first half
    of z take rows of the second.
    """
    n = len(z) // 2
    ws, others = generator.mapping(z[: 2 * n], c[:1].expand(2 * n, -1)).split(n)
    images = generator.synthesis(ws, noise="const").float()
    advance(n)
    found = []
    for row in range(ws.shape[1]):
        changed = ws.clone()
        changed[:, row] = others[:, row]
        found.append(rms(generator.synthesis(changed, noise="const").float() - images) / math.sqrt(2))
        advance(n)
    return found


def logits_and_losses(model: StyleGAN2, reals: Tensor, labels: Tensor, z: Tensor) -> dict:
    """Logits' standard deviations, losses, ‖∇ₓD‖², R1, and R1 in units of the discriminator's loss."""
    with torch.no_grad():
        fakes = model.generator(z, labels)
        real_logits, fake_logits = model.discriminator(reals, labels), model.discriminator(fakes, labels)
        loss_d = discriminator_loss(fake_logits, real_logits).item()
    # By autograd.grad on the batch's sum, as R1 does, but squared and summed here.
    x = reals.detach().clone().requires_grad_()
    (gradient,) = torch.autograd.grad(model.discriminator(x, labels).sum(), x)
    squared = gradient.double().flatten(1).square().sum(dim=1).mean().item()
    penalty = model.r1(lambda images: model.discriminator(images, labels), reals).item()
    return {
        "logits_std_real": real_logits.std(unbiased=False).item(),
        "logits_std_fake": fake_logits.std(unbiased=False).item(),
        "loss_d": loss_d,
        "loss_g": generator_loss(fake_logits).item(),
        "gradient_norm_squared": squared,
        "r1": penalty,
        "r1_expected": model.r1.gamma / 2 * squared,
        "r1_per_loss": penalty / max(loss_d, 1e-30),
    }


def path_lengths(model: StyleGAN2, ws: Tensor, y: Tensor) -> Tensor:
    """The path lengths as the loss object computes them, (N,) if it is right; ws needs a gradient."""

    def synthesis(ws: Tensor) -> Tensor:
        return model.generator.synthesis(ws, noise="const")

    _, _, lengths = model.path_length(synthesis, ws, torch.zeros([]).to(ws), y=y)
    return lengths.detach()


def independent_path_lengths(generator: Generator, ws: Tensor, y: Tensor) -> Tensor:
    """√(mean over rows of Σ_dim J²) sample by sample and row by row, J = ∇_ws Σ(image · y)/√(H·W): (N,)."""
    lengths = []
    for row, direction in zip(ws.detach(), y):
        row = row[None].clone().requires_grad_()
        image = generator.synthesis(row, noise="const")
        product = (image[0] * direction).sum() / math.sqrt(image.shape[2] * image.shape[3])
        (jacobian,) = torch.autograd.grad(product, row)
        lengths.append(sum(float(j.double().norm()) ** 2 for j in jacobian[0]) / jacobian.shape[1])
    return torch.tensor(lengths).sqrt()


def ema_distance(model: StyleGAN2) -> float:
    """‖average - weights‖ / ‖weights‖ of the generator, every weight tensor counting alike."""
    return relative_distance(model.average.parameters(), model.generator.parameters())


@torch.no_grad()
def relative_distance(a: Iterable[Tensor], b: Iterable[Tensor]) -> float:
    """Root mean square, over pairs of weight tensors, of ‖a - b‖ / ‖b‖; biases, which can be 0, left out."""
    ratios = []
    for x, y in zip(a, b):
        if y.ndim >= 2 and (length := y.float().norm().item()) > 0:
            ratios.append(((x.to(y) - y).float().norm().item() / length) ** 2)
    return math.sqrt(sum(ratios) / max(len(ratios), 1))


@torch.no_grad()
def block_growth(discriminator: Discriminator, reals: Tensor, labels: Tensor) -> float:
    """Geometric mean of the rms's growth from one block of D to the next, on these images as they are."""
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


def _images(generator: Generator, ws: Tensor, noise: Noise) -> Tensor:
    """In parts of 2 megapixels, which bounds the features' memory."""
    parts = ws.split(max(2**21 // generator.resolution**2, 1))
    return torch.cat([generator.synthesis(part, noise).float() for part in parts])


def synthesis_layers(generator: Generator) -> list[SynthesisLayer]:
    return [layer for layer in generator.synthesis.modules() if isinstance(layer, SynthesisLayer)]


def _std(x: Tensor) -> float:
    """Root of the mean, over all but the first dimension, of the unbiased variance along the first."""
    return x.float().var(dim=0).mean().sqrt().item()
