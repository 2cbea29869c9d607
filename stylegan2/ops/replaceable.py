"""A registry through which a faster implementation replaces a definition of the same name."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, ParamSpec, Protocol, TypeVar

P = ParamSpec("P")
R = TypeVar("R", covariant=True)


class Replaceable(Protocol[P, R]):
    """A function that `replace` may have replaced, and its definition."""

    @property
    def __wrapped__(self) -> Callable[P, R]: ...

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R: ...


_replacements: dict[str, Callable[..., Any]] = {}


def replaceable(definition: Callable[P, R]) -> Replaceable[P, R]:
    """Decorator that lets `replace` substitute another implementation for a function.

    The replacement has the same signature and result. The definition stays available as `__wrapped__`.
    """
    name = definition.__name__

    @functools.wraps(definition)
    def op(*args: P.args, **kwargs: P.kwargs) -> R:
        return _replacements.get(name, definition)(*args, **kwargs)

    return op


def replace(name: str, implementation: Callable[..., Any]) -> None:
    """Call `implementation` from now on instead of the replaceable function of this name."""
    _replacements[name] = implementation


@contextmanager
def definitions_only() -> Iterator[None]:
    """Context manager within which every op is computed by its definition, for comparisons."""
    before = dict(_replacements)
    _replacements.clear()
    try:
        yield
    finally:
        _replacements.update(before)
