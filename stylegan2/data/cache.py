"""A cache of decoded images, in memory that forked processes share."""

from __future__ import annotations

import math
import mmap
from collections.abc import Sequence

import torch
from torch import Tensor


class SharedCache:
    """A cache with room for n decoded images. The process that decodes an image first stores it.

    The memory is an anonymous mapping that forked processes share. Containers limit /dev/shm to 64 MB, but
    not such memory.

    Args:
        n: Number of images.
        shape: Shape of an image, (C, R, R), uint8.
    """

    def __init__(self, n: int, shape: Sequence[int]):
        self.images = torch.frombuffer(mmap.mmap(-1, self.size(n, shape)), dtype=torch.uint8).view(n, *shape)
        self.filled = torch.frombuffer(mmap.mmap(-1, n), dtype=torch.bool)

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
