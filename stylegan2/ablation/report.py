"""The report of a study: report.html, one page that opens offline, and report.md with figures beside it."""

from __future__ import annotations

import base64
import html
import inspect
import io
import math
import shlex
from pathlib import Path

from matplotlib.figure import Figure

from stylegan2.ablation.figures import COLORS, Picture, draw, sample_grids, tile
from stylegan2.ablation.statistics import METHOD, Row, Summary, summarize
from stylegan2.ablation.study import Study
from stylegan2.files import markdown_table, write_text
from stylegan2.metrics import metrics

NUMBERS = "R1 and path length: the last values logged. Time: a run's training alone. All: means over seeds."


def write_report(study: Study) -> Path:
    """Evaluate the study and write report.html, report.md and figures/ into its folder.

    Returns:
        The page's path.
    """
    summary = summarize(study)
    pictures = draw(summary)
    folder = study.out / "figures"
    folder.mkdir(exist_ok=True)
    for name, picture in pictures.items():
        picture.figure.savefig(folder / f"{name}.png", dpi=110, bbox_inches="tight")
    write_text(study.out / "report.md", _markdown(summary, pictures))
    write_text(study.out / "report.html", _page(summary, pictures))
    return study.out / "report.html"


# ---- what both reports say


def title(summary: Summary) -> str:
    return f"Which {summary.swept}?" if summary.swept else "StyleGAN2 with one scaling switched off at a time"


def headline(summary: Summary) -> str:
    """The result in one paragraph."""
    if summary.swept:
        return sweep_conclusion(summary)
    by_verdict: dict[str, list[str]] = {}
    for row in summary.compared:
        by_verdict.setdefault(row.verdict, []).append(row.variant.name)
    return " ".join(f"{v[0].upper()}{v[1:]}: {', '.join(names)}." for v, names in by_verdict.items())


def sweep_conclusion(summary: Summary) -> str:
    """Whether the default is the best of the values tried, and within what band no difference is detected."""
    name, default, pairs = summary.swept, summary.default_value, summary.by_value()
    finished = [row for row in summary.rows if row.level and not row.ended]
    if summary.default not in finished or len(finished) < 2:
        return f"Too few runs of {name} have finished to say anything."
    best = min(finished, key=lambda row: row.level.mean)
    if best is summary.default:
        text = f"The default, {name} = {default:.4g}, is the best of the values tried."
    else:
        chance = best.verdict == "no detectable effect"
        text = (
            f"The best of the values tried is {name} = {best.variant.value}: its quality distance is "
            f"{best.comparison.ratio:.2f} times that of the default, {default:.4g}, "
            f"{'a difference this budget cannot tell from chance' if chance else 'and the test confirms it'} "
            f"(p = {best.comparison.p:.2g} after correction)."
        )
    alike = [row is summary.default or row.verdict == "no detectable effect" for _, row in pairs]
    low = high = [row for _, row in pairs].index(summary.default)
    while low > 0 and alike[low - 1]:
        low -= 1
    while high < len(pairs) - 1 and alike[high + 1]:
        high += 1
    if low == high:
        return f"{text} Every neighboring value tried differs detectably from the default."
    end = " (the end of what was tried)" if low == 0 or high == len(pairs) - 1 else ""
    return (
        f"{text} No value from {pairs[low][0]:.4g} to {pairs[high][0]:.4g} can be told from the default{end}."
    )


def facts(summary: Summary) -> list[str]:
    """What was run and how it was judged, a few sentences each."""
    study, base = summary.study, summary.base
    about = inspect.getdoc(metrics[study.metric]).splitlines()[0]
    side, ended = base["data"]["resolution"], sum(study.result(run) is not None for run in study.runs)
    return [
        f"{len(summary.compared)} variants and what they are compared with, {study.seeds} "
        f"seed{'s' if study.seeds > 1 else ''} each, {study.kimg:g} kimg a run: "
        f"{ended} of {len(study.runs)} runs have ended.",
        f"Data: {base['data']['path']} at {side}×{side}; batch {base['batch']}. Runs of one seed see the "
        "same images in the same order.",
        f"Quality distance: {study.metric}. {about} It is taken between {study.images:,} generated images "
        "(psi 1) and all training images, or 10,000 of them, and can only be compared within this page.",
        METHOD,
    ]


def cells(row: Row) -> dict[str, str]:
    """A row of the table: column to text."""
    c, level = row.comparison, row.level
    minutes, seconds = f"{row.seconds / 60:.1f} min", f"{row.seconds:.0f} s"
    return {
        "field": row.variant.name,
        "set to": row.variant.value,
        "verdict": row.verdict,
        "distance": f"{_number(level.mean)}{_interval(level.low, level.high)}" if level else "",
        "× control": f"{c.ratio:.2f}{_interval(c.low, c.high)}" if c and math.isfinite(c.ratio) else "",
        "p": f"{c.p:.2g}" if c and math.isfinite(c.p) else "",
        "R1": _number(row.r1),
        "path length": _number(row.path_length),
        "time": minutes if row.seconds >= 60 else seconds if row.seconds > 0 else "",
        "how it ended": row.ended,
    }


def _interval(low: float, high: float) -> str:
    return f" [{_number(low)}, {_number(high)}]" if math.isfinite(low) and high != low else ""


def _number(value: float) -> str:
    """Three digits, without an exponent where it can be read."""
    if not math.isfinite(value):
        return ""
    return f"{value:.0f}" if 100 <= abs(value) < 1e6 else f"{value:.3g}"


def command(summary: Summary) -> str:
    """The command that makes the report again from what is in the folder."""
    return f"stylegan2 ablate --out {shlex.quote(str(summary.study.out))} --report_only true"


# ---- Markdown


def _markdown(summary: Summary, pictures: dict[str, Picture]) -> str:
    figures = [f"## {p.heading}\n\n{p.about}\n\n![{p.heading}](figures/{n}.png)" for n, p in pictures.items()]
    table = [cells(row) for row in summary.rows]
    parts = [
        f"# {title(summary)}",
        headline(summary),
        "\n".join(f"- {fact}" for fact in facts(summary)),
        markdown_table(list(table[0]), [list(line.values()) for line in table]),
        NUMBERS,
        *figures,
        f"Made again by `{command(summary)}`.",
    ]
    return "\n\n".join(parts) + "\n"


# ---- HTML

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


def _page(summary: Summary, pictures: dict[str, Picture]) -> str:
    """The page, with everything in it: it asks nothing of any server."""
    sections = []
    for name, picture in pictures.items():
        body = _cards(summary) if name == "gallery" else f"<figure>{_svg(picture.figure)}</figure>"
        sections.append(_section(picture.heading, picture.about, body))
    # The answer, what it looks like, then the numbers.
    sections.insert(2, _section("The numbers", NUMBERS, _table(summary)))
    notes = "".join(f"<li>{html.escape(fact)}</li>" for fact in facts(summary))
    heading = html.escape(title(summary))
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{heading}</title><style>{CSS}</style></head>
<body><main><h1>{heading}</h1>
<p class="lead">{html.escape(headline(summary))}</p>
{"".join(sections)}
<h2>How it was measured</h2><ul class="facts">{notes}</ul>
<p class="about">Made again from the runs by <code>{html.escape(command(summary))}</code></p>
</main></body></html>
"""


def _section(heading: str, about: str, body: str) -> str:
    return f'<h2>{html.escape(heading)}</h2><p class="about">{html.escape(about)}</p>{body}\n'


def _text(text: str) -> str:
    """Text whose long names may break after their underscores."""
    return html.escape(text).replace("_", "_<wbr>")


def _badge(verdict: str) -> str:
    return f'<span class="badge" style="background:{COLORS[verdict]}">{html.escape(verdict)}</span>'


def _table(summary: Summary) -> str:
    lines = []
    for row in summary.rows:
        columns = "".join(
            f"<td>{_badge(cell) if name == 'verdict' else _text(cell).replace(' [', '<br><small>[')}</td>"
            for name, cell in cells(row).items()
        )
        kind = "tested" if row.comparison else "control"
        lines.append(f'<tr class="{kind}">{columns}</tr>')
    heads = "".join(f"<th>{name}</th>" for name in cells(summary.default))
    body = "\n".join(lines)
    return f'<div class="scroll"><table><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table></div>'


def _cards(summary: Summary) -> str:
    """The gallery as images of their own, which stay sharp."""
    cards = []
    for name, path, verdict in sample_grids(summary):
        file = io.BytesIO()
        tile(path, summary.base["data"]["resolution"], 6, 4).save(file, format="PNG")
        source = f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"
        caption = f"<b>{_text(name)}</b>{_badge(verdict) if verdict else ''}"
        cards.append(
            f'<div class="card"><img alt="{html.escape(name)}" src="{source}"><p>{caption}</p></div>'
        )
    return f'<div class="cards">{"".join(cards)}</div>'


def _svg(figure: Figure) -> str:
    """The figure as an <svg> element."""
    file = io.StringIO()
    figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None}, bbox_inches="tight")
    text = file.getvalue()
    return text[text.index("<svg") :]
