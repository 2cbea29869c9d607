"""What depends on weights alone, computed a single time while the weights do not change."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

_current: fixed_weights | None = None


class fixed_weights:  # noqa: N801 (as torch.no_grad)
    """`with fixed_weights():` keeps what forward passes without gradients derive from weights alone.

    Scaled weights, demodulation's sums and kernels in another type: at low resolutions they cost as much as
    the features. A weight changed within the block by an in-place operation is noticed. One changed behind
    PyTorch's back is not: through `.data`, as `Module.to` does. A block entered again still has what it had.
    """

    def __init__(self) -> None:
        self.kept: dict[tuple, tuple[Tensor, int, Tensor]] = {}
        self.derived: set[int] = set()  # ids of results, from which more may be derived
        self._outer: list[fixed_weights | None] = []

    def __enter__(self) -> fixed_weights:
        global _current
        self._outer.append(_current)
        _current = self
        return self

    def __exit__(self, *_: object) -> None:
        global _current
        _current = self._outer.pop()


def cached(function: Callable[..., Tensor], weight: Tensor, *settings: object) -> Tensor:
    """function(weight, *settings); from the cache if the weights are fixed and no gradient is wanted."""
    if _current is None or torch.is_grad_enabled() or weight.is_inference():
        return function(weight, *settings)
    if not isinstance(weight, nn.Parameter) and id(weight) not in _current.derived:
        return function(weight, *settings)
    kept, key = _current.kept, (function, id(weight), *settings)
    if key not in kept or kept[key][1] != weight._version:
        kept[key] = weight, weight._version, function(weight, *settings)  # the weight keeps its id taken
        _current.derived.add(id(kept[key][2]))
    return kept[key][2]
