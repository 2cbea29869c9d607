"""A cache for results that depend on weights alone, for use while the weights do not change."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

_current: fixed_weights | None = None


class fixed_weights:  # noqa: N801 (as torch.no_grad)
    """Context manager within which forward passes without gradients cache what depends on weights alone.

    These are scaled weights, the sums of demodulation, and kernels in another type. At low resolutions, they
    take as long to compute as the features. If an in-place operation changes a weight within the block, the
    cached results are computed again. A change through `.data`, such as `Module.to` makes, is not noticed. If
    a context manager is entered again, its cache is still valid.
    """

    def __init__(self) -> None:
        self.kept: dict[tuple[object, ...], tuple[Tensor, int, Tensor]] = {}
        self.derived: set[int] = set()  # ids of the cached results, since results of these can be cached too
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
    """Return function(weight, *settings), from the cache if weights are fixed and no gradient is needed."""
    if _current is None or torch.is_grad_enabled() or weight.is_inference():
        return function(weight, *settings)
    if not isinstance(weight, nn.Parameter) and id(weight) not in _current.derived:
        return function(weight, *settings)
    kept, key = _current.kept, (function, id(weight), *settings)
    if key not in kept or kept[key][1] != weight._version:
        kept[key] = weight, weight._version, function(weight, *settings)  # the reference keeps the id unique
        _current.derived.add(id(kept[key][2]))
    return kept[key][2]
