"""Names of files and folders: which of them are data, how they are spelled, and their order."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

SYSTEM = frozenset(
    name.casefold()
    for name in (
        *("__MACOSX", "Network Trash Folder", "Temporary Items"),  # macOS
        *("$RECYCLE.BIN", "RECYCLER", "System Volume Information", "Thumbs.db", "desktop.ini"),  # Windows
        *(
            "@eaDir",
            "#recycle",
            "#snapshot",
            "@Recycle",
            "@Recently-Snapshot",
            "@__thumb",
            "~snapshot",
        ),  # NAS
        "lost+found",
    )
)
"""What operating systems and network drives put beside the files of a user."""


def visible(name: str) -> bool:
    """Return whether a file or folder is neither hidden nor put beside the data by a system."""
    return not name.startswith(".") and name.casefold() not in SYSTEM


def in_natural_order(names: Iterable[str]) -> list[str]:
    """Sort names so that numbers in them count as numbers: 2 before 10. Other names are sorted as text."""

    def key(name: str) -> tuple[list[str | tuple[int, str]], str]:
        parts: list[str | tuple[int, str]] = list(re.split("([0-9]+)", name))
        for k in range(1, len(parts), 2):
            digits = str(parts[k]).lstrip("0")
            parts[k] = (len(digits), digits)
        return parts, name  # the name itself decides between 1 and 01

    return sorted(names, key=key)


def from_bytes(name: bytes) -> str:
    """Decode the name of a file as UTF-8, whatever the locale. Other bytes become surrogates."""
    return name.decode("utf-8", "surrogateescape")


def to_bytes(name: str) -> bytes:
    """The inverse of `from_bytes`."""
    return name.encode("utf-8", "surrogateescape")


def printable(name: str) -> str:
    r"""Spell out what a terminal or a UTF-8 file cannot show, such as \xe9 for a byte that is not UTF-8."""
    text = to_bytes(name).decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def plain(name: str) -> str:
    r"""Spell a path as the data set does: with / instead of \, without ./ and without empty parts."""
    return "/".join(part for part in name.replace("\\", "/").split("/") if part not in ("", "."))


def alike(name: str) -> str:
    """Return the same text for all spellings of one path. Some systems write é as two characters."""
    return unicodedata.normalize("NFC", plain(name))
