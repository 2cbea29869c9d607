"""The report as one HTML page with everything in it: it opens offline, and asks nothing of any server."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure

from stylegan2.ablation.plots import COLORS, INK, label, svg, tile
from stylegan2.ablation.summary import Row, Summary

NUMBERS = "R1 and path length: the last values logged. Time: a run's training alone. All: means over seeds."

CSS = """
:root { --ink: #22272b; --soft: #5d666b; --line: #e3e7e9; --paper: #fbfbf9 }
* { box-sizing: border-box }
body { margin: 0; background: var(--paper); color: var(--ink);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif }
main { max-width: 1180px; margin: 0 auto; padding: 2.5rem 1.5rem 4rem }
h1 { font-size: 2rem; line-height: 1.2; margin: 0 0 .6rem; letter-spacing: -.01em }
h2 { font-size: 1.3rem; margin: 3rem 0 .2rem }
.lead { font-size: 1.1rem; max-width: 62rem }
.about, .facts { color: var(--soft); font-size: .92rem; max-width: 62rem }
.facts { padding-left: 1.1rem }
figure, .scroll, .card { background: #fff; border: 1px solid var(--line); border-radius: 10px }
figure { margin: .8rem 0 0; padding: 1rem }
figure svg { width: 100%; height: auto; display: block }
.scroll { overflow-x: auto; margin-top: 1rem }
table { border-collapse: collapse; width: 100%; font-size: .84rem; font-variant-numeric: tabular-nums }
th, td { text-align: left; padding: .45rem .7rem; border-bottom: 1px solid var(--line); vertical-align: top }
th { color: var(--soft); font-weight: 600; white-space: nowrap }
td:nth-child(n+4):nth-child(-n+9) { white-space: nowrap }
tr:last-child td { border-bottom: 0 }
tr.control td { background: #f4f6f6 }
.badge { display: inline-block; padding: .05rem .55rem; border-radius: 99px; color: #fff; font-size: .78rem;
  white-space: nowrap }
.cards { display: grid; grid-template-columns: repeat(auto-fill, minmax(330px, 1fr)); gap: 1.1rem;
  margin-top: 1rem }
.card { overflow: hidden }
.card img { width: 100%; display: block; image-rendering: pixelated }
.card p { margin: 0; padding: .55rem .8rem .65rem; display: flex; justify-content: space-between; gap: .6rem;
  align-items: baseline; font-size: .88rem }
small { color: var(--soft) }
code { background: #eef1f1; padding: .1rem .35rem; border-radius: 4px; font-size: .85rem }
"""


def page(
    title: str,
    lead: str,
    facts: Sequence[str],
    head: Sequence[str],
    table: Sequence[tuple[Row, Sequence[str]]],
    summary: Summary,
    figures: dict[str, tuple[str, str, Figure]],
    command: str,
) -> str:
    """The page.

    Args:
        title: Heading.
        lead: The result in words.
        facts: How it was measured, a sentence each.
        head: The table's columns.
        table: Its rows, with their cells.
        summary: The study.
        figures: By name: heading, what it shows, picture.
        command: Makes it again.
    """
    sections = []
    for name, (heading, about, figure) in figures.items():
        body = _cards(summary) if name == "gallery" else f"<figure>{svg(figure)}</figure>"
        sections.append(_section(heading, about, body))
    # The answer, what it looks like, then the numbers.
    sections.insert(2, _section("The numbers", NUMBERS, _table(head, table)))
    notes = "".join(f"<li>{html.escape(fact)}</li>" for fact in facts)
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{html.escape(title)}</title><style>{CSS}</style></head>
<body><main><h1>{html.escape(title)}</h1>
<p class="lead">{html.escape(lead)}</p>
{"".join(sections)}
<h2>How it was measured</h2><ul class="facts">{notes}</ul>
<p class="about">Made again from the runs by <code>{html.escape(command)}</code></p>
</main></body></html>
"""


def _section(heading: str, about: str, body: str) -> str:
    return f'<h2>{html.escape(heading)}</h2><p class="about">{html.escape(about)}</p>{body}\n'


def _badge(verdict: str) -> str:
    color = COLORS.get(verdict, INK)
    return f'<span class="badge" style="background:{color}">{html.escape(verdict)}</span>'


def _breakable(name: str) -> str:
    """Long names may break after their underscores."""
    return name.replace("_", "_<wbr>")


def _table(head: Sequence[str], table: Sequence[tuple[Row, Sequence[str]]]) -> str:
    lines = []
    for row, cells in table:
        values = [
            _badge(cell) if name == "verdict" else _breakable(html.escape(cell)).replace(" [", "<br><small>[")
            for name, cell in zip(head, cells)
        ]
        kind = "" if row.comparison else ' class="control"'
        lines.append(f"<tr{kind}>{''.join(f'<td>{value}</td>' for value in values)}</tr>")
    heads = "".join(f"<th>{name}</th>" for name in head)
    body = "\n".join(lines)
    return f'<div class="scroll"><table><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table></div>'


def _cards(summary: Summary) -> str:
    shown = [("training images", summary.reals(), "")]
    for row in summary.rows:
        verdict = row.comparison.verdict if row.comparison else "control"
        shown.append((label(row), summary.samples(row), verdict))
    cards = [
        f'<div class="card"><img alt="{html.escape(name)}" src="{_inline(path, summary.resolution)}">'
        f"<p><b>{_breakable(html.escape(name))}</b>{_badge(verdict) if verdict else ''}</p></div>"
        for name, path, verdict in shown
        if path
    ]
    return f'<div class="cards">{"".join(cards)}</div>'


def _inline(path: Path, side: int) -> str:
    file = io.BytesIO()
    tile(path, side, 6, 4).save(file, format="PNG")
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"
