"""Signal, gradient and steps of a pair of networks of one size, from one seed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from types import MappingProxyType
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stylegan2.coordinates.plan import STEPS, Size, change, settings
from stylegan2.networks.discriminator import Discriminator
from stylegan2.networks.generator import Generator
from stylegan2.networks.scalings import Scalings
from stylegan2.training.regularizers.path_length import PathLength
from stylegan2.training.regularizers.r1 import gradient_penalty

Score = Callable[[Tensor], Tensor]
"""Maps images to logits."""

LEARNING_RATE = 1e-6
"""Small enough that the change by eight steps is in proportion to it."""


def measure(size: Size, variant: str, seed: int) -> dict[str, float]:
    """All quantities of untrained networks of a size with one change of the scalings, by name."""
    scalings, path_length = settings(variant)
    return measure_networks(size, seed, scalings, path_length=path_length)


def measure_overlay(size: Size, model: Mapping[str, Any], seed: int) -> dict[str, float]:
    """All quantities of untrained networks of a size with options of a configuration, by name.

    Args:
        size: Sizes of both networks and of the batch.
        model: Options below `model`: scalings, generator and discriminator.
        seed: Of parameters and inputs.
    """
    networks = {name: model.get(name, {}) for name in ("generator", "discriminator")}
    return measure_networks(size, seed, Scalings(**model.get("scalings", {})), **networks)


def measure_networks(
    size: Size,
    seed: int,
    scalings: Scalings = Scalings(),  # noqa: B008 (frozen)
    *,
    generator: Mapping[str, Any] = MappingProxyType({}),
    discriminator: Mapping[str, Any] = MappingProxyType({}),
    path_length: PathLength | None = PathLength(),  # noqa: B008 (frozen)
    steps: Sequence[int] = STEPS,
) -> dict[str, float]:
    """All quantities of untrained networks of a size, by name.

    "D features" are the outputs of the last 3×3 layer of the discriminator. Their change is measured on the images
    that the steps of Adam were taken on. The discriminator gets smooth images of unit variance as real ones, and
    labels in turn if it has any.

    Args:
        size: Sizes of both networks and of the batch.
        seed: Of parameters and inputs.
        scalings: Of both networks.
        generator: Other options of the generator, such as its normalization.
        discriminator: Other options of the discriminator.
        path_length: None leaves the path length out, which some normalizations refuse.
        steps: Numbers of optimizer steps after which the change of the features is measured.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        options = {
            "channel_base": size.width * size.resolution,
            "channel_max": size.width,
            "mapping_layers": 2,
        }
        g = Generator(
            size.resolution, scalings, z_dim=size.latent_dim, w_dim=size.width, **options, **generator
        )
        d = Discriminator(size.resolution, scalings, **options, **discriminator)
        z = torch.randn(size.batch, size.latent_dim)
        reals = smooth(size.batch, size.resolution)
        score = partial(d, c=labels_in_turn(size.batch, d.num_classes))
        found = _signals(g, d, score, z, reals)
        found["R1"] = gradient_penalty(score, reals).mean().item()
        if path_length is not None:
            ws = g.mapping(z, update_w_avg=False).detach().requires_grad_()
            lengths = path_length.lengths(lambda rows: g.synthesis(rows, noise="const"), ws)
            found["path length"] = lengths.mean().item()
        return found | _changes(d, score, reals, steps)


def labels_in_turn(n: int, num_classes: int) -> Tensor | None:
    """One-hot labels 0, 1, ..., 0, 1, ... (n, num_classes), or None without classes."""
    return torch.eye(num_classes)[torch.arange(n) % num_classes] if num_classes else None


def smooth(n: int, resolution: int) -> Tensor:
    """Images (n, 3, R, R) that are interpolated between 2×2 random colors, of rms 1.

    Filters leave them as they are, so that the rms over depth shows what the layers do.
    """
    images = F.interpolate(torch.randn(n, 3, 2, 2), size=resolution, mode="bilinear", align_corners=True)
    return images * images.square().mean(dim=(1, 2, 3), keepdim=True).rsqrt()


def _signals(g: Generator, d: Discriminator, score: Score, z: Tensor, reals: Tensor) -> dict[str, float]:
    with torch.no_grad(), _output_of(d.b4.conv) as features:
        logits = score(reals)
        normalized = g.mapping.normalize(z)
        w = g.mapping(z, update_w_avg=False)[:, 0]
        images = g.synthesis(w[:, None].expand(-1, g.num_ws, -1), noise="const")
    found = {
        "mapping input": _rms(normalized),
        "w": _rms(w),
        "image": _rms(images),
        "image, std across z": images.var(dim=0).mean().sqrt().item(),
        "D features": _rms(features[-1]),
        "D logits": _rms(logits),
    }
    (gradient,) = torch.autograd.grad(F.softplus(-score(reals)).mean(), d.b4.conv.weight)
    return found | {"D gradient": _rms(gradient)}


def _changes(d: Discriminator, score: Score, reals: Tensor, steps: Sequence[int]) -> dict[str, float]:
    """rms of the change of D's features by steps of Adam on its loss for the real images."""
    adam = torch.optim.Adam(d.parameters(), lr=LEARNING_RATE, betas=(0.0, 0.99), eps=1e-12)
    found, before = {}, torch.zeros([])
    for step in range(max(steps) + 1):
        with _output_of(d.b4.conv) as features:
            loss = F.softplus(-score(reals)).mean()
        if step == 0:
            before = features[-1]
        elif step in steps:
            found[change(step)] = _rms(features[-1] - before)
        adam.zero_grad()
        loss.backward()
        adam.step()
    return found


@contextmanager
def _output_of(layer: nn.Module) -> Iterator[list[Tensor]]:
    """The list gets the output of every call of the layer inside the block. A reference batch passes first."""
    outputs: list[Tensor] = []
    handle = layer.register_forward_hook(lambda module, args, output: outputs.append(output.detach()))
    try:
        yield outputs
    finally:
        handle.remove()


def _rms(x: Tensor) -> float:
    return x.double().square().mean().sqrt().item()
