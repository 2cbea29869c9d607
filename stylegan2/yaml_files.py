"""YAML files of options: they are read in any encoding that editors write, and text in them stays text."""

from __future__ import annotations

import codecs
import math
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from stylegan2.errors import InputError

MOST_VALUES = 10_000
"""A few lines of YAML can stand for billions of values, which would fill the memory."""


BYTES = range(0xDC80, 0xDD00)
"""Surrogates, for bytes of file names that are no UTF-8. The parser of options cannot read them."""

STAND_INS = {code: 0xF0000 + code for code in BYTES}
"""Characters for private use, which it can read."""


def restored(text: str) -> str:
    """A text with surrogates in place of their stand-ins, which `read_yaml` has written."""
    return text.translate({stand_in: code for code, stand_in in STAND_INS.items()})


def read_yaml(path: Path, text_options: Collection[str] = ()) -> tuple[str, dict[str, Any]]:
    """The options in a YAML file, as YAML in ASCII and as Python objects.

    YAML itself takes `name: 007` for a number, `name: no` for false and `name: 2024-01-31` for a date.

    Args:
        path: The file. In the result, letters are written as \\xe4, because the parser of options tries any text
            as a path, which the system's encoding may lack. Bytes that are no UTF-8 have stand-ins, which
            `restored` takes back.
        text_options: Options whose values are read as text or null, as on a command line: `name`, `data.path`.

    Raises:
        InputError: There is no such file, or it holds something else.
    """
    if not path.is_file():
        raise InputError(f"Expected a YAML file of options at {path}, found none. Correct the path.")
    content = path.read_bytes()
    # Windows PowerShell writes UTF-16 when it redirects the output of a program.
    is_utf16 = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        text = content.decode("utf-16" if is_utf16 else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(
            f"Expected UTF-8 text in {path}, found other bytes ({error}). Save it as UTF-8."
        ) from error
    with _told(path):
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        size = _size(node, {}) if node else 0
    if size > MOST_VALUES:
        raise InputError(
            f"Expected at most {MOST_VALUES:,} values in {path}, found more by aliases. Write them out."
        )
    with _told(path):
        text = yaml.serialize(_as_text(node, "", text_options), Dumper=yaml.SafeDumper) if node else "null"
        options = yaml.safe_load(text)
    if options is None:
        return "{}", {}
    if not isinstance(options, dict):
        raise InputError(f"Expected options such as kimg: 100 in {path}, found {str(options)[:60]!r}.")
    return text, options


@contextmanager
def _told(path: Path) -> Iterator[None]:
    try:
        yield
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        why = "it is nested too deeply" if isinstance(error, RecursionError) else error
        raise InputError(f"Expected YAML in {path}, but it cannot be read: {why}") from error


def _size(node: yaml.Node, known: dict[yaml.Node, float]) -> float:
    """The number of values in a node, with those that aliases repeat counted again.

    It is infinite for a node within itself. `known` holds the sizes that have been computed.
    """
    if not isinstance(node, yaml.CollectionNode):
        return 1
    if node not in known:
        known[node] = math.inf
        pairs = isinstance(node, yaml.MappingNode)
        known[node] = sum(
            _size(value, known) for value in ([v for _, v in node.value] if pairs else node.value)
        )
    return known[node]


def _as_text(node: yaml.Node, name: str, text_options: Collection[str]) -> yaml.Node:
    """A node, which is the value of the option `name` or holds several options, with what is to be text quoted."""
    if isinstance(node, yaml.ScalarNode):
        is_value = name not in text_options or node.tag == "tag:yaml.org,2002:null"
        text = node.value.translate(STAND_INS)
        return node if is_value else yaml.ScalarNode("tag:yaml.org,2002:str", text, style='"')
    if isinstance(node, yaml.SequenceNode):  # of parts to merge, or a value that is a list
        return yaml.SequenceNode(node.tag, [_as_text(item, name, text_options) for item in node.value])
    pairs = []
    for key, value in node.value:
        inside = name if key.tag == "tag:yaml.org,2002:merge" else f"{name}.{key.value}".strip(".")
        pairs.append((key, _as_text(value, inside, text_options)))
    return yaml.MappingNode(node.tag, pairs)
