"""Tensors inside the arguments and results of any module: nested containers, dataclasses and plain objects."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import torch
from torch import Tensor, nn

DEPTH = 8
"""Containers inside containers that are looked into. Objects may refer to each other in a circle."""


def all_tensors(value: object, depth: int = DEPTH) -> Iterator[Tensor]:
    """The tensors in nested tuples, lists, mappings, dataclasses and other objects, in order."""
    if isinstance(value, Tensor):
        yield value
    elif depth and not isinstance(
        value, (str, bytes, int, float, type, nn.Module, torch.dtype, torch.device)
    ):
        for item in _items(value):
            yield from all_tensors(item, depth - 1)


def float_tensors(value: object) -> Iterator[Tensor]:
    """The floating-point tensors with at least one number among `all_tensors`."""
    return (t for t in all_tensors(value) if t.is_floating_point() and t.numel())


def _items(value: object) -> Iterator[object]:
    if isinstance(value, Mapping):
        yield from value.values()
    elif isinstance(value, (tuple, list, set, frozenset)):
        yield from value
    elif is_dataclass(value):
        yield from (getattr(value, field.name, None) for field in fields(value))
    else:  # such as an ImageList of torchvision, or a distribution
        yield from getattr(value, "__dict__", {}).values()


def call_arguments(module: nn.Module, inputs: object) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """What to call a module with: positional and keyword arguments.

    A plain tuple holds positional arguments. A mapping holds keyword arguments if `forward` takes arguments of
    these names, and is itself the single argument otherwise. A named tuple, such as a packed sequence, and
    anything else is the single argument.
    """
    if isinstance(inputs, Mapping):
        return ((), dict(inputs)) if _takes(module, inputs) else ((inputs,), {})
    if isinstance(inputs, tuple) and not hasattr(inputs, "_fields"):
        return inputs, {}
    return (inputs,), {}


def _takes(module: nn.Module, inputs: Mapping[Any, Any]) -> bool:
    """Whether `forward` can be called with the keys of a mapping as names of arguments."""
    if not all(isinstance(key, str) for key in inputs):
        return False
    try:
        inspect.signature(module.forward).bind(**inputs)
    except TypeError:
        return False
    except ValueError:  # no signature is known
        return True
    return True
