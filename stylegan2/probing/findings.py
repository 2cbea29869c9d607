"""What a rule says about a network: a fault, or a note."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Finding:
    """A fault, or a note on something that is unusual but not wrong, with the measured number in the text."""

    name: str
    text: str
    fault: bool = True

    def __str__(self) -> str:
        return f"{'FAULT' if self.fault else 'note'}: {self.name}: {self.text}"


def fault(name: str, text: str) -> Finding:
    return Finding(name=name, text=text)


def note(name: str, text: str) -> Finding:
    return Finding(name=name, text=text, fault=False)


def listed(names: list[str], at_most: int = 5) -> str:
    """The first names of a list, and a sign that there are more."""
    return ", ".join(names[:at_most]) + (" …" if len(names) > at_most else "")
