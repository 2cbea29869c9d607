"""Features of a small convolutional network with fixed random weights, for when there are no others."""

from __future__ import annotations

import hashlib

import numpy as np
from torch import Tensor

from stylegan2.errors import InputError
from stylegan2.metrics.extractors import extractors
from stylegan2.metrics.features import RandomFeatures


@extractors.register("random")
class RandomNetwork:
    """`RandomFeatures`, which need no weights. They rank runs early in training, and do not model human judgment."""

    key, title, published, has_classes = "random", "random-convolution", False, False
    resize = "none"

    def __init__(self, path: str | None = None):
        if path is not None:
            raise InputError(f"features=random has no file of weights, found {path}. Leave the path out.")
        self._by_channels: dict[int, RandomFeatures] = {}
        numbers = np.random.RandomState(0).randn(16, 9 * 3)  # those of the first kernels, the same everywhere
        self.weights = hashlib.sha256(numbers.tobytes()).hexdigest()

    def __call__(self, images: Tensor) -> tuple[Tensor, Tensor | None]:
        """Features (N, 4·(C + 48)), and no logits."""
        channels = images.shape[1]
        features = self._by_channels.setdefault(channels, RandomFeatures(channels))
        return features(images).float(), None
