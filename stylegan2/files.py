"""Atomic replacement of files, and data as YAML, as tables and as pages."""

from __future__ import annotations

import base64
import csv
import hashlib
import html
import json
import math
import os
import re
import sys
import textwrap
import threading
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import yaml

LEFTOVER = re.compile(r"\..+\.\d+\.\d+\.tmp")
"""Temporary names that `replacing` uses. They contain the file's name and the ids of process and thread."""


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Context manager that yields a temporary path, whose file replaces `path` when the block ends.

    If the block raises, the temporary file is removed and `path` stays as it was. Missing parent folders are
    made. The content is flushed to disk before the file is renamed, so a power failure leaves either the old
    file or the new one.

    Raises:
        OSError: The folder cannot be written to, or the disk is full.
        FileNotFoundError: The block ended without writing the file.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}.tmp")
    try:
        yield temporary
        put_in_place(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def put_in_place(temporary: Path, path: Path) -> None:
    """Flush a file to disk and rename it, so that a power failure leaves either the old `path` or the new one."""
    with temporary.open("rb+") as file:
        os.fsync(file.fileno())
    os.replace(temporary, path)
    _flush_folder(path.parent)


def remove_leftovers(folder: str | Path) -> None:
    """Remove the temporary files of `replacing` that a killed process left in a folder or below it.

    Call this only while no other process writes there.
    """
    for path in Path(folder).rglob(".*.tmp"):
        if LEFTOVER.fullmatch(path.name) and path.is_file():
            path.unlink(missing_ok=True)


def write_text(path: str | Path, text: str) -> None:
    r"""Write a UTF-8 text file atomically. A file of that name is replaced.

    The name of a file may have bytes that are no UTF-8, which Python holds as surrogates. They are written as
    \udcff, so that every program can read the text. In JSON and `yaml_text` they are escaped in this way already.
    """
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace")


class Quoting(yaml.SafeDumper):
    """Puts text in quotes that some reader of YAML takes for a number: PyYAML itself does not know 1e3."""


Quoting.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?[\d_.]+[eE][-+]?\d+$"), list("-+.0123456789")
)


def yaml_text(data: object) -> str:
    """Nested dictionaries and lists of plain data as YAML, in their own order, with all text staying text."""
    return yaml.dump(data, Dumper=Quoting, default_flow_style=False, allow_unicode=True, sort_keys=False)


def cache_folder() -> Path | None:
    """The folder for what can be computed again: `STYLEGAN2_CACHE`, or `stylegan2` in the user's cache folder.

    None: the user has no home folder.
    """
    if folder := os.environ.get("STYLEGAN2_CACHE"):
        return Path(folder).expanduser()
    with suppress(RuntimeError):
        return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "stylegan2"
    return None


def safe_name(text: str, at_most: int = 80) -> str:
    """A text as part of a file name on any system, of at most so many bytes in UTF-8.

    Characters that Windows forbids, that cannot be printed, or that this system's file names cannot hold,
    become "_". The end has no dot and no space. Different texts may give the same name.
    """
    encoding = sys.getfilesystemencoding()
    text = unicodedata.normalize("NFC", text).encode(encoding, "replace").decode(encoding)
    text = "".join("_" if c in '<>:"/\\|?*' or not c.isprintable() else c for c in text)
    return text.encode()[:at_most].decode(errors="ignore").strip(" .")


def printable(text: str) -> str:
    """A text for a terminal: characters that cannot be printed, such as control characters, are escaped."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def class_table(names: Sequence[str]) -> str:
    """The numbers and names of classes for a terminal, such as "0 cats, 1 dogs", in lines of 100 characters.

    Names after the first 200 are counted. A class whose name is its number is left out.
    """
    named = [f"{k} {printable(name)}" for k, name in enumerate(names) if name != str(k)]
    more = f", ... and {len(named) - 200} more in this order" if len(named) > 200 else ""
    text = ", ".join(named[:200]) + more
    return textwrap.fill(text, 100, break_long_words=False, break_on_hyphens=False)


def text_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Format a table for a terminal, with its columns aligned by spaces."""
    widths = [max(map(len, column)) for column in zip(head, *rows)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in [head, *rows]
    )


def markdown_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Format a table in Markdown. A vertical bar inside a cell is escaped."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def html_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Format a table in HTML, of cells that are HTML already. A wide one scrolls, by the keyboard too."""
    cells = "".join(f'<th scope="col">{cell}</th>' for cell in head)
    body = "".join(
        f'<tr><th scope="row">{first}</th>{"".join(f"<td>{cell}</td>" for cell in rest)}</tr>'
        for first, *rest in rows
    )
    return f'<div class="scroll" tabindex="0"><table><tr>{cells}</tr>{body}</table></div>\n'


def html_page(title: str, style: str, body: str, script: str = "") -> str:
    """A page that opens offline and loads nothing from elsewhere.

    Args:
        title: Text.
        style: CSS.
        body: HTML of the main part.
        script: JavaScript that runs when the page is there.
    """
    policy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    if script:
        digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        policy += f"; script-src 'sha256-{digest}'"
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<title>{html.escape(title)}</title>
<style>
{style}</style>
</head>
<body><main>
{body}
</main>
{f"<script>{script}</script>" if script else ""}
</body>
</html>
"""


def json_text(data: object) -> str:
    """Data as JSON, with null in place of the numbers that JSON does not have: NaN and infinite ones."""
    return json.dumps(_finite(data), indent=1)


def _finite(data: object) -> object:
    if isinstance(data, dict):
        return {key: _finite(value) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [_finite(value) for value in data]
    return None if isinstance(data, float) and not math.isfinite(data) else data


def read_csv(path: Path) -> list[dict[str, str]]:
    """The rows of a table such as metrics.csv, or an empty list if the file does not exist."""
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _flush_folder(folder: Path) -> None:
    """Flush the new name to disk too. Windows cannot open folders and does not need this step."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
