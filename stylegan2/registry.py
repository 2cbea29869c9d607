"""Choices by name: a registry for each kind of entry (losses, metrics, ...), and a check of literal types."""

from __future__ import annotations

import difflib
import pkgutil
from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from typing import Generic, Literal, TypeVar, get_args, get_origin, get_type_hints

from stylegan2.errors import InputError

T = TypeVar("T")


class Registry(Mapping[str, T], Generic[T]):
    """A mapping from names to entries. The error for an unknown name lists all names.

    Every module of `package` registers its entries when it is imported. The first look-up imports all of
    them. A user's own module registers its entries in the same way.

    Args:
        what: What an entry is called in messages, such as "loss".
        package: Name of the package whose modules hold the entries. None imports nothing.
    """

    def __init__(self, what: str, package: str | None = None):
        self.what, self._package, self._entries = what, package, dict[str, T]()

    def register(self, name: str) -> Callable[[T], T]:
        """Decorator that adds an entry under a name.

        Raises:
            ValueError: Another entry has this name.
        """

        def add(entry: T) -> T:
            if name in self._entries:
                raise ValueError(f"expected a new name, but a {self.what} named {name!r} exists already")
            self._entries[name] = entry
            return entry

        return add

    def __getitem__(self, name: str) -> T:
        """Return the entry of this name.

        Raises:
            InputError: No entry has this name.
        """
        self._import_entries()
        if name not in self._entries:
            raise _unknown(self.what, name, list(self))
        return self._entries[name]

    def __contains__(self, name: object) -> bool:
        self._import_entries()
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        self._import_entries()
        return iter(sorted(self._entries))

    def __len__(self) -> int:
        self._import_entries()
        return len(self._entries)

    def _import_entries(self) -> None:
        if self._package is None:
            return
        package, self._package = self._package, None  # before the imports, which may look up an entry
        for module in pkgutil.iter_modules(import_module(package).__path__):
            import_module(f"{package}.{module.name}")


def check_choices(options: object) -> None:
    """Check every field of a dataclass whose type is or contains a `Literal`.

    Raises:
        InputError: A value is not among those that the type allows.
    """
    for name, hint in get_type_hints(type(options)).items():
        value = getattr(options, name)
        items = [value]
        if get_origin(hint) is list:
            items, hint = value, get_args(hint)[0]
        for item in items:
            if get_origin(hint) is Literal and item not in get_args(hint):
                raise _unknown(name, item, [str(choice) for choice in get_args(hint)])
        if type(value) is str and get_origin(hint) is not Literal:
            literals = [c for arg in get_args(hint) if get_origin(arg) is Literal for c in get_args(arg)]
            if literals and value not in literals and str not in get_args(hint):
                raise _unknown(name, value, [*map(str, literals), "a number"])


def _unknown(what: str, found: object, names: list[str]) -> InputError:
    longer = [name for name in names if found and name.startswith(str(found))]
    close = longer or difflib.get_close_matches(str(found), names, n=1, cutoff=0.5)
    advice = f"Did you mean {close[0]}?" if close else "Choose one of these names."
    return InputError(f"Expected one of {', '.join(names)} as {what}, found {found!r}. {advice}")
