"""Hostile and unlucky inputs, tried by the hundred on the product.

`python -m tests.reliability` tries every family. `python -m tests.reliability zips --count 50 --seed 0` tries 50
cases of one. A case is made from its number alone, so `--seed 17 --count 1` tries case 17 again. What was found is
in docs/reliability.md.
"""

from __future__ import annotations

from importlib import import_module

from .runner import Family

FAMILIES = (
    "kills",
    "cuts",
    "flips",
    "zips",
    "pickles",
    "foreign",
    "configs",
    "images",
    "metadata",
    "sources",
    "stores",
    "labels",
)
"""The names of the families. Each is `family` in the module of its name."""


def load(name: str) -> Family:
    """The family of a name. Its module is imported only here."""
    return import_module(f".{name}", __name__).family
