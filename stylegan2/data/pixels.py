"""The two ranges of pixel values: 0..255 in files, -1..1 in networks."""

import torch
from torch import Tensor


def to_float(images: Tensor) -> Tensor:
    """Map uint8 0..255 to float32 -1..1. Any shape."""
    return images.float() / 127.5 - 1


def to_uint8(images: Tensor) -> Tensor:
    """Map float -1..1 to uint8 0..255, rounded and clamped. Any shape. This is the inverse of `to_float`."""
    return ((images.float() + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
