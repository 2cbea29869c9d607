"""The minibatch standard deviation, which shows the discriminator how much samples differ (PGGAN §3)."""

from __future__ import annotations

import torch
from torch import Tensor


def minibatch_stddev(x: Tensor, group: int | None = 4, channels: int = 1) -> Tensor:
    """Append the standard deviation over groups of samples as constant channels (PGGAN §3).

    The group of sample n consists of n, n + N/G, n + 2N/G, … The features are divided into `channels` parts.
    The value of an appended channel is the biased standard deviation over the group, √(var + 1e-8), averaged
    over the pixels and features of one part.

    Args:
        x: Features (N, C, H, W).
        group: Number G of samples in a group. A larger number than N, or None, is the whole batch.
        channels: Number of channels to append, a divisor of C.

    Returns:
        Features (N, C + channels, H, W).

    Raises:
        ValueError: N is not a multiple of the group size, or C is not a multiple of `channels`.
    """
    n, c, h, w = x.shape
    g = n if group is None else min(group, n)
    if n % g or c % channels:
        raise ValueError(
            f"expected a minibatch stddev that divides evenly, got {n} samples in groups of {g} and {c} "
            f"features in {channels} parts. Choose a batch that is a multiple of minibatch_group, and "
            "minibatch_channels that divide the features."
        )
    y = x.reshape(g, n // g, channels, c // channels, h, w)
    y = (y - y.mean(dim=0)).square().mean(dim=0)
    y = (y + 1e-8).sqrt().mean(dim=(2, 3, 4))
    y = y.repeat(g, 1)[:, :, None, None].expand(n, channels, h, w)
    return torch.cat([x, y], dim=1)
