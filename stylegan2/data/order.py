"""Orders of very many images that take no memory: permutations, and ranges with gaps."""

from __future__ import annotations

from abc import abstractmethod
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from typing import overload

import numpy as np

ROUNDS = 8
MASK = 0xFFFFFFFF


class Computed(Sequence[int]):
    """`n` numbers that are computed when they are asked for. A subclass defines `at(place)` for 0 <= place < n."""

    n: int

    @abstractmethod
    def at(self, place: int) -> int:
        """The number at a place."""

    def __len__(self) -> int:
        return self.n

    @overload
    def __getitem__(self, place: int) -> int: ...
    @overload
    def __getitem__(self, place: slice) -> list[int]: ...
    def __getitem__(self, place: int | slice) -> int | list[int]:
        if isinstance(place, slice):
            return [self[k] for k in range(*place.indices(self.n))]
        if not 0 <= place < self.n:
            raise IndexError(f"expected a place in 0..{self.n - 1}, got {place}")
        return self.at(place)


class Feistel(Computed):
    """A pseudo-random permutation of 0..n-1 that is computed place by place, in constant memory.

    A Feistel network permutes the numbers of 2b bits, 4^b ≥ n, for any function of its rounds (Luby and Rackoff
    1988). What leaves 0..n-1 goes through the network again until it is back (cycle walking, Black and Rogaway 2002),
    which takes less than four passes in the mean.

    Args:
        n: Length, 1..2^62.
        key: Numbers that choose the permutation, such as seed and epoch.
    """

    def __init__(self, n: int, key: Sequence[int]):
        self.n = n
        self.bits = max(1, ((n - 1).bit_length() + 1) // 2)
        self.keys = [int(k) for k in np.random.SeedSequence(list(key)).generate_state(2 * ROUNDS)]

    def at(self, place: int) -> int:
        value = self._permuted(place)
        while value >= self.n:
            value = self._permuted(value)
        return value

    def _permuted(self, value: int) -> int:
        """The network: (l, r) -> (r, l xor f(r)) in each round."""
        low = (1 << self.bits) - 1
        left, right = value >> self.bits, value & low
        for k in range(ROUNDS):
            left, right = right, left ^ (_mixed(right, self.keys[2 * k], self.keys[2 * k + 1]) & low)
        return left << self.bits | right


def _mixed(value: int, a: int, b: int) -> int:
    """A hash of 32 bits, by the finalizer of MurmurHash3 with keys."""
    h = (value ^ a) & MASK
    h = (h ^ h >> 16) * 0x85EBCA6B & MASK
    h = (h ^ h >> 13 ^ b) * 0xC2B2AE35 & MASK
    return h ^ h >> 16


class AllBut(Computed):
    """The numbers 0..n-1 without some of them, in ascending order. Memory grows only with what is left out."""

    def __init__(self, n: int, without: Iterable[int]):
        gone = sorted(set(without))
        self.n = n - len(gone)
        self.before = [number - k for k, number in enumerate(gone)]

    def at(self, place: int) -> int:
        return place + bisect_right(self.before, place)
