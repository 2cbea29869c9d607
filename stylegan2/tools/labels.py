"""What a conditional network is asked for: classes by number, range or name, or a label vector."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from stylegan2.errors import InputError
from stylegan2.files import class_table, printable, safe_name


@dataclass(frozen=True)
class Label:
    """A label, and what names of files say of it."""

    vector: Tensor
    """What the network takes, (num_classes,)."""

    suffix: str = ""
    """Such as "-class3-cats". Two classes never have the same."""


def read_labels(
    width: int, names: Sequence[str] | None, classes: str | None, label: str | None
) -> list[Label]:
    """The labels that the options --classes and --label ask for, each one once.

    Args:
        width: Of the network's labels, 0 for a network without.
        names: Of the classes by number. Empty if the network was trained with label vectors, None if its file
            does not say.
        classes: Numbers, ranges and names, such as 0-2,cats. None: all classes, or those of `label`.
        label: Numbers with commas between them.

    Raises:
        InputError: The options do not fit the network.
    """
    if not width:
        for option, value in (("--classes", classes), ("--label", label)):
            if value is not None:
                raise InputError(
                    f"{option} was given, but the checkpoint's network has no classes and no labels. Leave "
                    f"{option} out."
                )
        return [Label(torch.zeros(0))]
    if label is not None:
        if classes is not None:
            raise InputError("Expected --classes or --label, found both. Leave one out.")
        return [_vector(label, width)]
    if names is not None and not names:
        raise InputError(
            f"The checkpoint's network was trained with label vectors and has no classes. Give it a vector of "
            f"{width} numbers with commas between them, such as --label 0.3,0.7,0.25 for three."
        )
    chosen = range(width) if classes is None else parse_classes(classes, width, names or [])
    return [Label(torch.eye(width)[k], f"-class{_class_name(k, width, names)}") for k in chosen]


def parse_numbers(text: str, option: str) -> list[range]:
    """ "0-3,42" to [range(0, 4), range(42, 43)]: ranges that never overlap, however many numbers they hold.

    Raises:
        InputError: Anything else, or a number of 2^32 or more.
    """
    ranges: list[range] = []
    for part in text.split(","):
        found = _range(part)
        if found is None:
            raise InputError(
                f"{option} expects numbers below 2^32 and ranges such as 0-15,42, found {printable(text)}."
            )
        new = [found]
        for old in ranges:  # a number given twice counts once
            pieces = (
                (range(r.start, min(r.stop, old.start)), range(max(r.start, old.stop), r.stop)) for r in new
            )
            new = [piece for pair in pieces for piece in pair if piece]
        ranges += new
    return ranges


def parse_classes(text: str, width: int, names: Sequence[str]) -> list[int]:
    """ "0-2,dogs" to [0, 1, 2, 5]: numbers of classes, each one once.

    Raises:
        InputError: A number or name that is no class's, or a name that is also the number of another class.
    """
    number = {name: k for k, name in enumerate(names)}
    chosen: list[int] = []
    for part in [text] if text in number else text.split(","):
        part = part.strip()
        named, numbered = number.get(part), _range(part)
        if named is None and numbered is None:
            close = difflib.get_close_matches(part, names, n=3, cutoff=0.5)
            hint = f"Did you mean {' or '.join(map(printable, close))}?" if close else _known(width, names)
            raise InputError(
                f"--classes expects numbers, ranges or names of classes, found {printable(part)}. {hint}"
            )
        if numbered is not None and numbered.stop > width:
            if named is None:
                raise InputError(
                    f"--classes expects numbers below {width}, found {printable(part)}. {_known(width, names)}"
                )
            numbered = None
        if named is None:
            chosen += numbered or []
        elif numbered is None or list(numbered) == [named]:
            chosen.append(named)
        else:
            raise InputError(
                f"--classes {part} can mean the number or the class of that name, which has the number "
                f"{named}. Write {named}-{named} for the name, or {numbered.start}-{numbered.stop - 1} for the "
                "number."
            )
    return list(dict.fromkeys(chosen))


def _range(text: str) -> range | None:
    """ "3" or "3-5" as a range of numbers below 2^32, None for any other text."""
    match = re.fullmatch(r"\s*(\d{1,10})(?:-(\d{1,10}))?\s*", text)
    first, last = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
    return range(first, last + 1) if first <= last < 2**32 else None


def _vector(text: str, width: int) -> Label:
    try:
        values = [float(part) for part in text.split(",")]
    except ValueError:
        values = []
    if len(values) != width or not all(map(math.isfinite, values)):
        raise InputError(
            f"--label expects {width} numbers with commas between them, found {printable(text)}."
        )
    return Label(torch.tensor(values), "-label" + safe_name(",".join(f"{value:g}" for value in values)))


def _class_name(number: int, width: int, names: Sequence[str] | None) -> str:
    digits = f"{number:0{len(str(width - 1))}d}"
    name = safe_name(names[number]) if names and number < len(names) else ""
    return f"{digits}-{name}" if name not in ("", str(number)) else digits


def _known(width: int, names: Sequence[str]) -> str:
    table = class_table(names)
    return f"The classes are:\n{table}" if table else f"The classes are 0 to {width - 1}."
