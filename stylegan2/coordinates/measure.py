"""Signal, gradient and steps of a pair of networks of one size, from one seed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stylegan2.coordinates.plan import STEPS, Size, change, settings
from stylegan2.networks.discriminator import Discriminator
from stylegan2.networks.generator import Generator
from stylegan2.training.regularizers.r1 import gradient_penalty

LEARNING_RATE = 1e-6
"""Small enough that the change by eight steps is in proportion to it."""


def measure(size: Size, variant: str, seed: int) -> dict[str, float]:
    """All quantities of untrained networks of a size, by name.

    "D features" are the outputs of the last 3×3 layer of the discriminator. Their change is measured on the images
    that the steps of Adam were taken on. The discriminator gets smooth images of unit variance as real ones.
    """
    scalings, path_length = settings(variant)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        options = {
            "channel_base": size.width * size.resolution,
            "channel_max": size.width,
            "mapping_layers": 2,
        }
        g = Generator(size.resolution, scalings, z_dim=size.latent_dim, w_dim=size.width, **options)
        d = Discriminator(size.resolution, scalings, **options)
        z = torch.randn(size.batch, size.latent_dim)
        reals = smooth(size.batch, size.resolution)
        found = _signals(g, d, z, reals)
        found["R1"] = gradient_penalty(d, reals).mean().item()
        ws = g.mapping(z, update_w_avg=False).detach().requires_grad_()
        lengths = path_length.lengths(lambda rows: g.synthesis(rows, noise="const"), ws)
        found["path length"] = lengths.mean().item()
        return found | _changes(d, reals)


def smooth(n: int, resolution: int) -> Tensor:
    """Images (n, 3, R, R) that are interpolated between 2×2 random colors, of rms 1.

    Filters leave them as they are, so that the rms over depth shows what the layers do.
    """
    images = F.interpolate(torch.randn(n, 3, 2, 2), size=resolution, mode="bilinear", align_corners=True)
    return images * images.square().mean(dim=(1, 2, 3), keepdim=True).rsqrt()


def _signals(g: Generator, d: Discriminator, z: Tensor, reals: Tensor) -> dict[str, float]:
    with torch.no_grad(), _output_of(d.b4.conv) as features:
        logits = d(reals)
        normalized = g.mapping.normalize(z)
        w = g.mapping(z, update_w_avg=False)[:, 0]
        images = g.synthesis(w[:, None].expand(-1, g.num_ws, -1), noise="const")
    found = {
        "mapping input": _rms(normalized),
        "w": _rms(w),
        "image": _rms(images),
        "image, std across z": images.var(dim=0).mean().sqrt().item(),
        "D features": _rms(features[0]),
        "D logits": _rms(logits),
    }
    (gradient,) = torch.autograd.grad(F.softplus(-d(reals)).mean(), d.b4.conv.weight)
    return found | {"D gradient": _rms(gradient)}


def _changes(d: Discriminator, reals: Tensor) -> dict[str, float]:
    """rms of the change of D's features by steps of Adam on its loss for the real images."""
    adam = torch.optim.Adam(d.parameters(), lr=LEARNING_RATE, betas=(0.0, 0.99), eps=1e-12)
    found, before = {}, torch.zeros([])
    for step in range(max(STEPS) + 1):
        with _output_of(d.b4.conv) as features:
            loss = F.softplus(-d(reals)).mean()
        if step == 0:
            before = features[0]
        elif step in STEPS:
            found[change(step)] = _rms(features[0] - before)
        adam.zero_grad()
        loss.backward()
        adam.step()
    return found


@contextmanager
def _output_of(layer: nn.Module) -> Iterator[list[Tensor]]:
    """The list gets the output of every call of the layer inside the block."""
    outputs: list[Tensor] = []
    handle = layer.register_forward_hook(lambda module, args, output: outputs.append(output.detach()))
    try:
        yield outputs
    finally:
        handle.remove()


def _rms(x: Tensor) -> float:
    return x.double().square().mean().sqrt().item()
