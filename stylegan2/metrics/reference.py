"""The real images that figures compare with: a hash of their pixels, and a cache of their features."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterable
from pathlib import Path

import torch
from torch import Tensor

from stylegan2.files import cache_folder, replacing
from stylegan2.metrics.extractors import Extractor


def pixel_digest(batches: Iterable[Tensor]) -> str:
    """SHA-256 of the shape and the pixels of images, given as batches uint8 (N, C, H, W) in their order."""
    state = hashlib.sha256()
    for images in batches:
        for image in images:
            state.update(f"{tuple(image.shape)}".encode())
            state.update(image.contiguous().numpy().tobytes())
    return state.hexdigest()


def cache_path(reference: str, extractor: Extractor) -> Path | None:
    """The file of the features of a reference set. None: there is no folder for it."""
    folder = cache_folder()
    if folder is None:
        return None
    parts = "\0".join([reference, extractor.key, extractor.weights, extractor.resize])
    return folder / "metrics" / f"{hashlib.sha256(parts.encode()).hexdigest()[:32]}.pt"


def load_features(path: Path | None) -> Tensor | None:
    """Features (N, F) that `save_features` wrote. None if there are none, or if the file is damaged."""
    if path is None or not path.is_file():
        return None
    try:
        contents = torch.load(path, map_location="cpu", weights_only=True)
        features: Tensor = contents["features"]
        return features if contents["digest"] == _digest(features) else None
    except Exception:  # whatever is wrong with it, it is computed again
        return None


def save_features(path: Path | None, features: Tensor) -> None:
    """Write features (N, F) atomically. A folder that cannot be written costs time, not the figure."""
    if path is None:
        return
    try:
        with replacing(path) as temporary:
            torch.save({"features": features, "digest": _digest(features)}, temporary)
    except (OSError, RuntimeError) as error:
        print(f"warning: the features of the real images are not cached in {path}: {error}", file=sys.stderr)


def _digest(features: Tensor) -> str:
    return hashlib.sha256(features.contiguous().numpy().tobytes()).hexdigest()
