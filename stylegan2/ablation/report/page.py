"""The report of a study: report.html, a single page that opens offline, and report.md with its figures."""

from __future__ import annotations

import base64
import html
import inspect
import io
import math
import shlex
from pathlib import Path

from stylegan2.ablation.plan.study import Study
from stylegan2.ablation.plan.variants import DEFAULT
from stylegan2.ablation.report.cells import (
    about_secondary,
    cells,
    factor,
    interval,
    limits,
    secondary_cells,
    secondary_measures,
)
from stylegan2.ablation.report.figures import COLORS, Picture, SampleGrids, draw, sample_grids, tile
from stylegan2.ablation.statistics.summary import Row, Summary, summarize
from stylegan2.ablation.statistics.verdicts import UNDETECTED, method
from stylegan2.files import markdown_table, write_text
from stylegan2.html_page import document, svg, table
from stylegan2.metrics import metrics
from stylegan2.sizes import text

MAX_WIDTH = 800
"""Width in pixels above which the page reduces sample grids."""
SECONDARY = "Secondary measures"
NUMBERS = (
    "The distance is the primary measure, as a geometric mean over seeds. R1 and path length are the last logged "
    "values, and time is the training time per run, as means over seeds."
)


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


# ---- content of both reports


def title(summary: Summary) -> str:
    return f"Which {summary.swept}?" if summary.swept else "StyleGAN2 with one scaling switched off at a time"


def headline(summary: Summary) -> str:
    """The result of the study in one paragraph."""
    if summary.swept:
        return sweep_conclusion(summary)
    by_verdict: dict[str, list[str]] = {}
    for row in summary.compared:
        by_verdict.setdefault(row.verdict, []).append(row.variant.name + _could_see(row))
    lines = [f"{v[0].upper()}{v[1:]}: {', '.join(names)}." for v, names in by_verdict.items()]
    return " ".join([*lines, secondary_findings(summary)]).strip()


def secondary_findings(summary: Summary) -> str:
    """The significant differences of secondary measures, in one sentence. "" if there are none."""
    parts = []
    for measure in summary.measures[1:]:
        found = [
            f"{row.variant.name} ×{factor(row.secondary[measure.name].ratio)}"
            for row in summary.compared
            if row.secondary[measure.name].verdict in ("needed", "helps", "better without")
        ]
        parts += [f"{measure.name} ({', '.join(found)})"] if found else []
    return f"Secondary measures differ, too: {', '.join(parts)}." if parts else ""


def _could_see(row: Row) -> str:
    """What a comparison that found no effect could have seen, such as " (could see ×1.8)"."""
    seen = limits(row.comparison) if row.comparison else ""
    return f" ({seen})" if seen else ""


def sweep_conclusion(summary: Summary) -> str:
    """Whether the default is the best value tried, and in which range no value differs detectably from it."""
    name, default, pairs = summary.swept, summary.default_value, summary.by_value()
    done = [
        row
        for row in summary.rows
        if row.level and not row.ended and not (row.comparison and math.isnan(row.comparison.ratio))
    ]
    if summary.default not in done or len(done) < 2:
        return f"Too few runs of {name} have finished for a conclusion."
    best = min(done, key=lambda row: row.comparison.ratio if row.comparison else 1.0)
    c = best.comparison
    if c is None:  # only the default has none
        text = f"The default, {name} = {default:.4g}, is the best of the values tried."
    else:
        chance = best.verdict in UNDETECTED
        text = (
            f"The best of the values tried is {name} = {best.variant.value}: its {summary.measures[0].name} is "
            f"{c.ratio:.2f} times that of the default, {default:.4g}, "
            f"{'which may be chance at this budget' if chance else 'and the test confirms it'} "
            f"(p = {c.p:.2g} after correction{f'; {seen}' if (seen := limits(c)) else ''})."
        )
    alike = [row is summary.default or row.verdict in UNDETECTED for _, row in pairs]
    low = high = [row for _, row in pairs].index(summary.default)
    while low > 0 and alike[low - 1]:
        low -= 1
    while high < len(pairs) - 1 and alike[high + 1]:
        high += 1
    if low == high:
        return f"{text} Every neighboring value tried differs detectably from the default."
    end = " (the end of the values tried)" if low == 0 or high == len(pairs) - 1 else ""
    return (
        f"{text} No value from {pairs[low][0]:.4g} to {pairs[high][0]:.4g} differs detectably from the "
        f"default{end}."
    )


def facts(summary: Summary) -> list[str]:
    """How the study was run and evaluated, as a list of short paragraphs."""
    study, base = summary.study, summary.base
    about = (inspect.getdoc(metrics[study.metric]) or "").partition("\n")[0]
    size, ended = base["data"]["resolution"], sum(study.result(run) is not None for run in study.runs)
    extra = study.seeds_of(DEFAULT) - study.seeds
    return [
        f"The study has {len(summary.compared)} variants and their controls, with {study.seeds} "
        f"seed{'s' if study.seeds > 1 else ''} each{f' and {extra} more of the default' if extra else ''}, and "
        f"{study.kimg:g} kimg per run. {ended} of {len(study.runs)} runs have ended.",
        f"Data: {base['data']['path']} at {text(size)}; batch {base['batch']}. Runs of one seed see the "
        "same images in the same order, and all runs are measured with the same latents.",
        f"The primary measure, which decides, is the {summary.measures[0].name}: {summary.measures[0].about}.",
        f"Quality distance: {study.metric}. {about} It compares {study.images:,} generated images (psi 1) with all "
        "training images, or with 10,000 of them. Values can only be compared within this page.",
        method(study.looks, study.margin, extra),
    ]


def command(summary: Summary) -> str:
    """The command that writes the report again from the runs in the folder."""
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
        *_markdown_secondary(summary),
        *figures,
        f"To write this report again: `{command(summary)}`.",
    ]
    return "\n\n".join(parts) + "\n"


def _markdown_secondary(summary: Summary) -> list[str]:
    lines = [secondary_cells(row) for row in summary.compared]
    if not lines or len(summary.measures) < 2:
        return []
    table = markdown_table(list(lines[0]), [list(line.values()) for line in lines])
    notes = "\n".join(f"- {line}" for line in secondary_measures(summary))
    return [f"## {SECONDARY}", about_secondary(summary), table, notes]


# ---- HTML


def _page(summary: Summary, pictures: dict[str, Picture]) -> str:
    """The page as HTML. It contains its style and images, so it needs no server."""
    sections = []
    for name, picture in pictures.items():
        body = _cards(summary) if name == "gallery" else f"<figure>{svg(picture.figure)}</figure>"
        sections.append(_section(picture.heading, picture.about, body))
    # The table comes third: after the main figure and the samples.
    sections.insert(2, _section("The numbers", NUMBERS, _table(summary)))
    if len(summary.measures) > 1 and summary.compared:
        sections.insert(3, _section(SECONDARY, about_secondary(summary), _secondary_table(summary)))
    notes = "".join(f"<li>{html.escape(fact)}</li>" for fact in facts(summary))
    heading = html.escape(title(summary))
    body = f"""<h1>{heading}</h1>
<p class="lead">{html.escape(headline(summary))}</p>
{"".join(sections)}
<h2>How it was measured</h2><ul class="facts">{notes}</ul>
<p class="about">To write this report again: <code>{html.escape(command(summary))}</code></p>"""
    return document(title(summary), "report.css", body)


def _section(heading: str, about: str, body: str) -> str:
    return f'<h2>{html.escape(heading)}</h2><p class="about">{html.escape(about)}</p>{body}\n'


def _text(text: str) -> str:
    """The text as HTML in which long names may break after underscores."""
    return html.escape(text).replace("_", "_<wbr>")


def _badge(verdict: str) -> str:
    return f'<span class="badge" style="background:{COLORS[verdict]}">{html.escape(verdict)}</span>'


def _table(summary: Summary) -> str:
    rows = [[_cell(name, cell) for name, cell in cells(row).items()] for row in summary.rows]
    kinds = ["tested" if row.comparison else "control" for row in summary.rows]
    return f'<div class="numbers">{table(list(cells(summary.default)), rows, kinds)}</div>'


def _cell(name: str, text: str) -> str:
    return _badge(text) if name == "verdict" else _text(text).replace(" [", "<br><small>[")


def _finding(cell: str) -> str:
    """The cell with a significant difference in bold type."""
    return cell.replace(" higher", " <b>higher</b>").replace(" lower", " <b>lower</b>")


def _secondary_table(summary: Summary) -> str:
    rows = [secondary_cells(row) for row in summary.compared]
    lines = [
        [_finding(_text(cell)).replace(" [", "<br><small>[").replace("]; ", "]<br>") for cell in row.values()]
        for row in rows
    ]
    notes = "".join(f"<li>{html.escape(line)}</li>" for line in secondary_measures(summary))
    return f'{table(list(rows[0]), lines)}<ul class="facts">{notes}</ul>'


def _cards(summary: Summary) -> str:
    """The gallery, with a button for each time and cards that a click enlarges. It needs no script.

    A card shows the last image of a run that ended early at all later times.
    """
    grids = sample_grids(summary)
    times = sorted({kimg for grid in grids for kimg in grid.files})
    rules = "".join(
        f"#time{i}:checked~.cards .time{i}{{display:block}}#time{i}:checked+label{{background:#fff;font-weight:600}}"
        for i in range(len(times))
    )
    buttons = "".join(
        f'<input type="radio" name="time" id="time{i}"{" checked" if i == len(times) - 1 else ""}>'
        f'<label for="time{i}">{kimg:g} kimg</label>'
        for i, kimg in enumerate(times)
    )
    cards = "".join(_card(grid, times, summary.base["data"]["resolution"]) for grid in grids)
    return f'<style>{rules}</style><div class="times">{buttons}<div class="cards">{cards}</div></div>'


def _card(grid: SampleGrids, times: list[float], side: int | tuple[int, int]) -> str:
    classes: dict[float, list[str]] = {}
    for i, time in enumerate(times):
        latest = max((kimg for kimg in grid.files if kimg <= time), default=min(grid.files))
        classes.setdefault(latest, []).append(f"time{i}")
    images = "".join(
        f'<img class="{" ".join(names)}" alt="{html.escape(grid.label)}" src="{_data_url(grid.files[kimg], side)}">'
        for kimg, names in classes.items()
    )
    verdict = _badge(grid.row.verdict) if grid.row else ""
    c = grid.row.comparison if grid.row else None
    measured = (
        f"<small>distance × {c.ratio:.2f}{interval(c.low, c.high)}</small>"
        if c and math.isfinite(c.ratio)
        else ""
    )
    return (
        f'<div class="card"><label><input type="checkbox" aria-label="Enlarge">{images}</label>'
        f"<p><b>{_text(grid.label)}</b><span>{verdict} {measured}</span></p></div>"
    )


def _data_url(path: Path, side: int | tuple[int, int]) -> str:
    """The upper left of a sample grid as a data URL. Large ones are reduced, so that the page stays small."""
    file, image = io.BytesIO(), tile(path, side, 6, 4)
    if image.width > MAX_WIDTH:
        image.thumbnail((MAX_WIDTH, MAX_WIDTH))
        image.save(file, format="JPEG", quality=90)
        return f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode()}"
    image.save(file, format="PNG")
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"
