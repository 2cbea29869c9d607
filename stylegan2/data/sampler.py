"""The order in which training sees the images."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from torch.utils.data import Sampler

from stylegan2.data.crops import Draws
from stylegan2.data.order import Feistel


class InfiniteSampler(Sampler[list[int]]):
    """An endless stream of image indices in batches. Resuming training does not change the stream.

    The stream is a sequence of permutations of the n indices. Each permutation depends only on (seed, epoch). All
    processes share the stream. Step k covers batch·world_size positions, starting at position
    start + k·batch·world_size, and the process of rank r takes the r-th `batch` of them. Batches
    know seed and epochs, from which random crops follow.

    Args:
        n: Length of the data set, or the n indices of the images that are used.
        batch: Images per process and step.
        seed: Integer in 0..2^64-1.
        rank: Number of this process, from 0.
        world_size: Number of processes.
        start: Number of images that all processes together have consumed before.
        in_memory: Whether a permutation of n numbers may be kept. False: it is computed place by place.
    """

    def __init__(
        self,
        n: int | Sequence[int],
        *,
        batch: int,
        seed: int,
        rank: int = 0,
        world_size: int = 1,
        start: int = 0,
        in_memory: bool = True,
    ):
        self.rows: Sequence[int] = range(n) if isinstance(n, int) else n
        self.n, self.batch, self.seed = len(self.rows), batch, seed
        self.first, self.stride = start + rank * batch, batch * world_size
        self.in_memory = in_memory
        self._epoch = -1
        self._order: np.ndarray | Feistel = np.empty(0, dtype=np.int64)

    def __iter__(self) -> Iterator[Draws]:
        position = self.first
        while True:
            positions = range(position, position + self.batch)
            yield Draws(map(self.at, positions), self.seed, [p // self.n for p in positions])
            position += self.stride

    def at(self, position: int) -> int:
        """Return the image index at a position of the stream."""
        epoch, offset = divmod(position, self.n)
        if epoch != self._epoch:
            self._epoch, self._order = epoch, self._permutation(epoch)
        return self.rows[int(self._order[offset])]

    def _permutation(self, epoch: int) -> np.ndarray | Feistel:
        if not self.in_memory:
            return Feistel(self.n, [self.seed, epoch])
        return np.random.Generator(np.random.Philox(key=[self.seed, epoch])).permutation(self.n)
