"""Images that are held out from training, to see whether the discriminator overfits."""

from __future__ import annotations

import numpy as np

from stylegan2.data.order import Feistel
from stylegan2.errors import InputError

MOST = 10_000
"""The largest number of images that are held out of shards."""


def share_of(option: float | str) -> float:
    """The share that an option such as "5%" or 0.05 stands for.

    Raises:
        InputError: It is no number, or not from 0 to below 1.
    """
    text = str(option).strip()
    try:
        share = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        share = -1.0
    if not 0 <= share < 1:
        raise InputError(
            f"Expected data.holdout as a share of the images, such as 5% or 0.05, found {option!r}. 0 holds none out."
        )
    return share


def chosen_rows(images: int, share: float, seed: int, in_memory: bool = True) -> list[int]:
    """A random choice of rows in 0..images-1, which depends on nothing else. With a share above 0 it is not empty.

    If a permutation of all images is too much for the memory (`in_memory` is false), it has at most 10,000 rows.
    """
    if not share:
        return []
    count = max(1, round(share * images))
    if not in_memory:
        order = Feistel(images, [seed, 2**63])
        return [order[k] for k in range(min(count, MOST))]
    random = np.random.Generator(np.random.Philox(key=[seed, 2**63]))  # the sampler's keys end in its epochs
    rows: list[int] = random.permutation(images)[:count].tolist()
    return rows
