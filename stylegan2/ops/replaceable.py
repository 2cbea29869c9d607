"""How a faster implementation takes the place of a definition, from outside and by name."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")

_replacements: dict[str, Callable[..., Any]] = {}


def replaceable(definition: Callable[P, R]) -> Callable[P, R]:
    """Let `replace` put an implementation of the same signature and result in the place of a definition.

    The definition itself stays available as `__wrapped__`.
    """
    name = definition.__name__

    @functools.wraps(definition)
    def op(*args: P.args, **kwargs: P.kwargs) -> R:
        result: R = _replacements.get(name, definition)(*args, **kwargs)
        return result

    return op


def replace(name: str, implementation: Callable[..., Any]) -> None:
    """Have `implementation` called wherever the replaceable function of this name is."""
    _replacements[name] = implementation


@contextmanager
def definitions_only() -> Iterator[None]:
    """Compute everything by its definition: for comparisons."""
    before = dict(_replacements)
    _replacements.clear()
    try:
        yield
    finally:
        _replacements.update(before)
