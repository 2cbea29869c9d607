"""A decorator for functions that `torch.autocast` does not change."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import torch
from torch import Tensor

P = ParamSpec("P")
R = TypeVar("R")


def outside_autocast(function: Callable[P, R]) -> Callable[P, R]:
    """Make a function compute in the types of its arguments, even within `torch.autocast`.

    Latents, styles, demodulation, images and logits need more digits than bfloat16 has. Autocast therefore lowers
    the precision of convolutions alone.
    """

    @functools.wraps(function)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        for value in (*args, *kwargs.values()):
            # There is no autocast for meta tensors, with which checkpoints are checked.
            if (
                isinstance(value, Tensor)
                and not value.is_meta
                and torch.is_autocast_enabled(value.device.type)
            ):
                with torch.autocast(value.device.type, enabled=False):
                    return function(*args, **kwargs)
        return function(*args, **kwargs)

    return wrapped
