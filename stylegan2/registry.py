"""Choosing by name: one table for each kind of thing (losses, normalizations, metrics), and checked
literals."""

from __future__ import annotations

import difflib
import pkgutil
from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from typing import Generic, Literal, TypeVar, get_args, get_origin, get_type_hints

from stylegan2.errors import InputError

T = TypeVar("T")


class Registry(Mapping[str, T], Generic[T]):
    """What can be chosen by name, with an error that lists the names when a choice is none of them.

    Every module of `package` registers what it defines when it is imported; the first look-up imports them
    all. A user's own module registers in the same way.

    Args:
        what: What an entry is, for messages: "loss".
        package: Name of the package whose modules hold the entries. None: nothing is imported.
    """

    def __init__(self, what: str, package: str | None = None):
        self.what, self._package, self._entries = what, package, dict[str, T]()

    def register(self, name: str) -> Callable[[T], T]:
        """Decorator that adds an entry.

        Raises:
            ValueError: The name is taken by another entry.
        """

        def add(entry: T) -> T:
            if name in self._entries:
                raise ValueError(f"there is a {self.what} named {name!r} already: choose another name")
            self._entries[name] = entry
            return entry

        return add

    def __getitem__(self, name: str) -> T:
        """The entry of a name.

        Raises:
            InputError: There is no such entry.
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
        package, self._package = self._package, None  # first, since an entry may look another one up
        for module in pkgutil.iter_modules(import_module(package).__path__):
            import_module(f"{package}.{module.name}")


def check_choices(options: object) -> None:
    """Check every field of a dataclass whose type is a Literal.

    Raises:
        InputError: A value is none of the literal's.
    """
    for name, hint in get_type_hints(type(options)).items():
        value = getattr(options, name)
        if get_origin(hint) is Literal and value not in get_args(hint):
            raise _unknown(name, value, [str(choice) for choice in get_args(hint)])
        if type(value) is str and get_origin(hint) is not Literal:
            literals = [c for arg in get_args(hint) if get_origin(arg) is Literal for c in get_args(arg)]
            if literals and value not in literals and str not in get_args(hint):
                raise _unknown(name, value, [*map(str, literals), "a number"])


def _unknown(what: str, found: object, names: list[str]) -> InputError:
    close = difflib.get_close_matches(str(found), names, n=1, cutoff=0.5)
    hint = f" Did you mean {close[0]}?" if close else ""
    return InputError(f"Expected a {what} out of {', '.join(names)}, found {found!r}.{hint}")
