"""Sphinx extension: a warning for every file that a finished page would load from elsewhere."""

import re
from collections.abc import Iterator
from pathlib import Path

from sphinx.util import logging

logger = logging.getLogger(__name__)

LOADS = [
    re.compile(r"<(?:script|img|iframe|source|video|audio|embed)\b[^>]*?\bsrc=[\"']((?:https?:)?//[^\"']+)"),
    re.compile(r"<link\b[^>]*?\bhref=[\"']((?:https?:)?//[^\"']+)"),
    re.compile(r"(?:url\(|@import\s+)[\"']?((?:https?:)?//[^\"')]+)"),
]
"""What makes a browser load an address by itself. A link that a reader may follow is no such thing."""


def remote_loads(text: str) -> Iterator[str]:
    """The remote addresses that a page or a style sheet loads."""
    for pattern in LOADS:
        yield from pattern.findall(text)


def check(app, error: Exception | None) -> None:
    if error or app.builder.format != "html":
        return
    for path in sorted(Path(app.outdir).rglob("*")):
        if path.suffix in (".html", ".css"):
            for address in remote_loads(path.read_text(encoding="utf-8")):
                logger.warning("%s loads %s: pages must open offline", path.relative_to(app.outdir), address)


def setup(app) -> dict:
    app.connect("build-finished", check)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
