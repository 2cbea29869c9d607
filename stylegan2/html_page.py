"""Parts of pages: one HTML file that opens offline, with its style, tables and figures inside."""

from __future__ import annotations

import base64
import hashlib
import html
import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from stylegan2.files import printable

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ASSETS = Path(__file__).parent / "assets"


def document(title: str, style: str, body: str, script: str = "") -> str:
    """A whole page. A browser loads nothing from elsewhere for it, and runs no other script than this one.

    Args:
        title: Text, which is escaped.
        style: Name of a style sheet in `assets/`.
        body: HTML.
        script: JavaScript at the end of the page.
    """
    policy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    if script:
        policy += (
            f"; script-src 'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"
        )
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<title>{escaped(title)}</title>
<style>
{(ASSETS / style).read_text(encoding="utf-8")}</style>
</head>
<body><main>
{body}
</main>{f"<script>{script}</script>" if script else ""}</body>
</html>
"""


def escaped(text: str) -> str:
    """The text as HTML, on one line."""
    return html.escape(printable(text))


def table(head: Sequence[str], rows: Iterable[Sequence[str]], kinds: Iterable[str] = ()) -> str:
    """A table of cells that are HTML already. It scrolls where it is wider than the screen, by the keyboard too.

    Args:
        head: The cells of the first line.
        rows: The lines below. The first cell of each is its heading.
        kinds: The class of each of these lines, for the style sheet.
    """
    lines = list(rows)
    opened = [f'<tr class="{kind}">' for kind in kinds] or ["<tr>"] * len(lines)
    cells = "".join(f'<th scope="col">{cell}</th>' for cell in head)
    body = "\n".join(
        f'{tr}<th scope="row">{first}</th>{"".join(f"<td>{cell}</td>" for cell in rest)}</tr>'
        for tr, (first, *rest) in zip(opened, lines, strict=True)
    )
    whole = f"<table><thead><tr>{cells}</tr></thead><tbody>{body}</tbody></table>"
    return f'<div class="scroll" tabindex="0">{whole}</div>\n'


def svg(figure: Figure) -> str:
    """A figure as an <svg> element."""
    file = io.StringIO()
    figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None}, bbox_inches="tight")
    text = file.getvalue()
    return text[text.index("<svg") :]
