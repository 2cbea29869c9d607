"""Feature networks: what turns images into the features that metrics compare. Each is chosen by its name."""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from torch import Tensor

from stylegan2.errors import InputError
from stylegan2.registry import Registry


class Extractor(Protocol):
    """A feature network with its weights."""

    key: str
    """Part of the names of columns, such as "efficientnet_lite0"."""
    title: str
    """What a table calls it, such as "EfficientNet-Lite0"."""
    published: bool
    """Whether these are the features that give FID, KID and the Inception score of papers."""
    has_classes: bool
    """Whether it gives logits."""
    weights: str
    """SHA-256 of the weights."""
    resize: str
    """How images are brought to the size that the network takes, in words."""

    def __call__(self, images: Tensor) -> tuple[Tensor, Tensor | None]:
        """Features (N, F), and logits (N, K) if the network has classes, float32 on the images' device.

        Args:
            images: (N, C, H, W) in 0..255: uint8, or floating point, which is not rounded.
        """


extractors: Registry[Callable[[str | None], Extractor]] = Registry("feature network", __name__)
"""Registered feature networks by name: callables that load one. The argument is the path of a file of weights, or
None for the default.

They raise InputError if a package or a file is missing or damaged."""


def to_rgb(images: Tensor) -> Tensor:
    """Gray, color or RGBA images (N, C, H, W) in 0..255 as float32 (N, 3, H, W). Transparent pixels become white."""
    x = images.float()
    if x.shape[1] == 4:
        alpha = x[:, 3:] / 255
        x = x[:, :3] * alpha + 255 * (1 - alpha)
        x = x if images.is_floating_point() else x.round()
    return x.expand(-1, 3, -1, -1)


def file_digest(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal digits."""
    state = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            state.update(block)
    return state.hexdigest()


def require_package(package: str, extra: str, what: str) -> None:
    """Raises InputError if a package of an optional extra is not installed."""
    if not importlib.util.find_spec(package):
        raise InputError(
            f"{what} needs the package {package.replace('_', '-')}, which is not installed. "
            f'Install it: pip install "stylegan2[{extra}]"'
        )
