"""Memory for decoded images that forked processes share."""

from __future__ import annotations

import math
import mmap
from collections.abc import Sequence

import torch
from torch import Tensor


def shared_zeros(shape: Sequence[int], dtype: torch.dtype) -> Tensor:
    """Zeros that forked processes share.

    The memory is anonymous, so containers do not limit it to 64 MB, as they do /dev/shm.
    """
    count = math.prod(shape)
    memory = mmap.mmap(-1, max(1, count * dtype.itemsize))
    return torch.frombuffer(memory, dtype=dtype, count=count).view(*shape) if count else torch.zeros(shape)


class SharedCache:
    """Room for n decoded images, filled by whichever process decodes one first.

    Args:
        n: Number of images.
        shape: Shape of an image, (C, R, R), uint8.
    """

    def __init__(self, n: int, shape: Sequence[int]):
        self.images = shared_zeros((n, *shape), torch.uint8)
        self.filled = shared_zeros((n,), torch.bool)

    @staticmethod
    def size(n: int, shape: Sequence[int]) -> int:
        """Bytes that n images take."""
        return n * math.prod(shape)

    @property
    def full(self) -> bool:
        return bool(self.filled.all())

    def put(self, row: int, image: Tensor) -> None:
        self.images[row] = image
        self.filled[row] = True  # last, so that no other process reads half an image

    def keep(self, rows: Sequence[int]) -> None:
        """Keep these rows (ascending) alone, in the same memory."""
        for new, old in enumerate(rows):
            self.images[new], self.filled[new] = self.images[old].clone(), self.filled[old].clone()
        self.images, self.filled = self.images[: len(rows)], self.filled[: len(rows)]
