"""A cache of decoded images, in memory that forked processes share."""

from __future__ import annotations

import math
import mmap
from collections.abc import Sequence

import torch
from torch import Tensor


def shared_zeros(shape: Sequence[int], dtype: torch.dtype) -> Tensor:
    """Make a tensor of zeros that forked processes share.

    Its memory is an anonymous mapping. Containers limit /dev/shm to 64 MB, but not such memory.
    """
    count = math.prod(shape)
    memory = mmap.mmap(-1, max(1, count * dtype.itemsize))
    return torch.frombuffer(memory, dtype=dtype, count=count).view(*shape) if count else torch.zeros(shape)


class SharedCache:
    """A cache with room for n decoded images. The process that decodes an image first stores it.

    Args:
        n: Number of images.
        shape: Shape of an image, (C, R, R), uint8.
    """

    def __init__(self, n: int, shape: Sequence[int]):
        self.images = shared_zeros((n, *shape), torch.uint8)
        self.filled = shared_zeros((n,), torch.bool)

    @staticmethod
    def size(n: int, shape: Sequence[int]) -> int:
        """The size of n images in bytes."""
        return n * math.prod(shape)

    @property
    def full(self) -> bool:
        return bool(self.filled.all())

    def put(self, row: int, image: Tensor) -> None:
        self.images[row] = image
        self.filled[row] = True  # last, so that no other process reads half an image

    def keep(self, rows: Sequence[int]) -> None:
        """Keep only these rows, given in ascending order. They move within the same memory."""
        for new, old in enumerate(rows):
            self.images[new], self.filled[new] = self.images[old].clone(), self.filled[old].clone()
        self.images, self.filled = self.images[: len(rows)], self.filled[: len(rows)]
