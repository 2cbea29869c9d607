"""One table of names for each kind of thing that can be chosen by name: losses, normalizations, metrics, ..."""

from __future__ import annotations

import difflib
import pkgutil
from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from typing import Generic, TypeVar

from stylegan2.errors import InputError

T = TypeVar("T")


class Registry(Mapping[str, T], Generic[T]):
    """What can be chosen by name, with an error that lists the names when a choice is none of them.

    Every module of `package` registers what it defines when it is imported; the first look-up imports them all.
    A user's own module registers in the same way.

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
            close = difflib.get_close_matches(str(name), self._entries, n=1)
            hint = f" Did you mean {close[0]}?" if close else ""
            raise InputError(f"Expected a {self.what} out of {', '.join(self)}, found {name!r}.{hint}")
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
