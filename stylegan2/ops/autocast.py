"""Which functions `torch.autocast` leaves alone: those that compute in the types of their arguments."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import torch
from torch import Tensor

P = ParamSpec("P")
R = TypeVar("R")


def outside_autocast(function: Callable[P, R]) -> Callable[P, R]:
    """Have a function compute in the types of its arguments, within `torch.autocast` too.

    Autocast then lowers the precision of convolutions alone. Latents, styles, lengths of kernels, images and
    logits need more digits than bfloat16 has.
    """

    @functools.wraps(function)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        for value in (*args, *kwargs.values()):
            if isinstance(value, Tensor) and torch.is_autocast_enabled(value.device.type):
                with torch.autocast(value.device.type, enabled=False):
                    return function(*args, **kwargs)
        return function(*args, **kwargs)

    return wrapped
