"""Sphinx extension: docstrings are written in Markdown's plainest part and become reStructuredText.

`x` is code, and nothing else is markup: |x|², a * b and names_ mean themselves.
"""

import re

CODE = re.compile(r"(`+)([^`]+)\1")


def to_rst(text: str) -> str:
    """The same text in reStructuredText; blocks of doctest and of code after `::` stay as they are."""
    parts, end = [], 0
    for match in CODE.finditer(text):
        parts.append(escape(text[end : match.start()]))
        before, after = text[match.start() - 1 : match.start()], text[match.end() : match.end() + 1]
        code = " ".join(match[2].split())
        joined = ("\\ " if before.isalnum() else "", "\\ " if after.isalnum() else "")
        parts.append(f"{joined[0]}``{code}``{joined[1]}")
        end = match.end()
    return "".join([*parts, escape(text[end:])])


def escape(text: str) -> str:
    """Plain text in which no character is markup."""
    text = re.sub(r"([\\*|])", r"\\\1", text)
    return re.sub(r"_(?=\W|$)", r"\\_", text)


def process(app, what: str, name: str, obj: object, options: object, lines: list[str]) -> None:
    lines[:] = to_rst("\n".join(lines)).split("\n")


def setup(app) -> dict:
    app.connect("autodoc-process-docstring", process, priority=400)  # before napoleon, which comes at 500
    return {"parallel_read_safe": True, "parallel_write_safe": True}
