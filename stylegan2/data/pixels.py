"""Conversion between the two ranges of pixel values, 0..255 in files and -1..1 in networks."""

import torch
from torch import Tensor


def to_float(images: Tensor) -> Tensor:
    """Map uint8 in 0..255 to float32 in -1..1, for any shape."""
    return images.float() / 127.5 - 1


def to_uint8(images: Tensor) -> Tensor:
    """Map float in -1..1 to uint8 in 0..255, rounded and clamped, for any shape. It inverts `to_float`."""
    return ((images.float() + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
