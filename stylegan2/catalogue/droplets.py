"""Droplet artifacts: isolated peaks in the feature maps of a trained generator (SG2 §2.1)."""

from __future__ import annotations

import torch
from torch import Tensor

from stylegan2.coordinates.measure import labels_in_turn
from stylegan2.networks.generator import Generator

LATENTS = 64


def peak(features: Tensor) -> Tensor:
    """The largest magnitude of a feature map over its median magnitude, for each sample.

    The magnitude of a pixel is the rms over channels. A map whose median is 0 gives infinity, or NaN if all is 0.

    Shape: (N, C, H, W) -> (N,).
    """
    magnitude = features.double().square().mean(dim=1).sqrt().flatten(1)
    return magnitude.amax(dim=1) / magnitude.median(dim=1).values


@torch.no_grad()
def peaks(generator: Generator, latents: int = LATENTS) -> dict[str, float]:
    """Mean over samples of `peak` after the last layer of each resolution, by resolution from 8 up.

    Args:
        generator: Its evaluation mode is used, with psi 1 and the stored noise.
        latents: Number of samples. The latents are the same for every generator of this width, and labels take turns.
    """
    found: dict[str, float] = {}
    handles = [
        getattr(generator.synthesis, f"b{r}").conv1.register_forward_hook(
            lambda module, inputs, output, r=r: found.update({str(r): peak(output).mean().item()})
        )
        for r in generator.synthesis.resolutions[1:]
    ]
    z = torch.randn(latents, generator.z_dim, generator=torch.Generator().manual_seed(0))
    before = generator.training
    try:
        generator.eval()(z, labels_in_turn(latents, generator.num_classes), noise="const")
    finally:
        generator.train(before)
        for handle in handles:
            handle.remove()
    return found
