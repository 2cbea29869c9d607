"""Duplicates in a set of images: equal files, and files that look alike."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from stylegan2.survey.facts import Facts

BITS = 4
"""Bits of the difference hash in which two images that look alike may differ."""

LEVELS = 6
"""Mean difference of their 4×4 colors, in levels of 255, that two images that look alike may have."""

_ONES = np.array([bin(i).count("1") for i in range(1 << 16)], dtype=np.uint8)


def equal_files(facts: Sequence[Facts]) -> list[list[int]]:
    """Groups of rows whose files are equal byte for byte, in the order of their first rows."""
    groups: dict[str, list[int]] = {}
    for row, fact in enumerate(facts):
        groups.setdefault(fact.digest, []).append(row)
    return [rows for rows in groups.values() if len(rows) > 1]


def look_alikes(facts: Sequence[Facts]) -> list[list[int]]:
    """Groups of rows whose images look alike though their files differ, in the order of their first rows.

    Two images look alike if their hashes differ in at most 4 bits of 64 and their 4×4 colors by at most 6 levels
    in the mean. A group holds whatever is connected by such pairs. Of equal files the first stands for all.

    Two hashes that differ in 4 bits agree in at least one of 5 parts. Only images that share a part are compared,
    so that the time grows much slower than the square of their number.
    """
    first = list({fact.digest: row for row, fact in reversed(list(enumerate(facts)))}.values())[::-1]
    hashes = np.array([facts[row].hash for row in first], dtype=np.uint64)
    colors = np.array([list(bytes.fromhex(facts[row].colors)) for row in first], dtype=np.int16)
    leader = np.arange(len(first))

    def root(i: int) -> int:
        while leader[i] != i:
            leader[i] = leader[leader[i]]
            i = int(leader[i])
        return i

    for shift in range(0, 64, 13):
        part = (hashes >> np.uint64(shift)) & np.uint64(0x1FFF)
        order = np.argsort(part, kind="stable")
        ends = np.append(np.flatnonzero(np.diff(part[order])) + 1, len(order))
        for start, end in zip(np.append(0, ends), ends):
            members = order[start:end]
            for k in range(len(members) - 1):
                i, others = members[k], members[k + 1 :]
                others = others[leader[others] != leader[i]]  # a pair that is known need not be found again
                others = others[_distance(hashes[i], hashes[others]) <= BITS]
                close = np.abs(colors[others] - colors[i]).mean(axis=1) <= LEVELS if len(others) else []
                for j in others[close]:
                    a, b = sorted((root(int(i)), root(int(j))))
                    leader[b] = a
    groups: dict[int, list[int]] = {}
    for i, row in enumerate(first):
        groups.setdefault(root(i), []).append(row)
    return [rows for rows in groups.values() if len(rows) > 1]


def _distance(a: np.uint64, b: np.ndarray) -> np.ndarray:
    """The number of bits in which one hash differs from others (n,)."""
    return _ONES[(a ^ b).view(np.uint16).reshape(-1, 4)].sum(axis=1)
