"""The page itself: one HTML file that opens offline, with curves, a slider over the sample grids, and the options."""

from __future__ import annotations

import base64
import html
import io
import json
import math
import time
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from stylegan2.files import html_page, html_table, printable, write_text

from .charts import charts
from .record import RunRecord

ASSETS = Path(__file__).parent.parent / "assets"
GRIDS = 40
"""Most sample grids of a run on the page. More are thinned evenly. The first and the last one stay."""

WIDTH = 1024
"""Most pixels of a grid from left to right on the page."""

STALE = 900.0
"""Seconds without a new number after which a run is no longer called running, unless its rows take longer."""


def write_report(path: Path, runs: Sequence[RunRecord]) -> None:
    """Write the page about one or more runs. A file of that name is replaced.

    Raises:
        OSError: The file cannot be written, or a picture cannot be read.
    """
    write_text(path, page(runs, time.time()))


def page(runs: Sequence[RunRecord], now: float) -> str:
    """The page as text. Every name in it is escaped, and nothing in it is loaded from elsewhere.

    Args:
        runs: The runs, side by side.
        now: Seconds since 1970.
    """
    title = ", ".join(printable(run.name) for run in runs)
    times = sorted({at for run in runs for at in _thinned(run)})
    figures = "".join(
        f"<figure>{drawn}<figcaption>{html.escape(about)}</figcaption></figure>"
        for about, drawn in charts(runs).values()
    )
    states = html_table(
        ("run", "progress", "time left", "state", "trained by"), (_state(run, now) for run in runs)
    )
    body = f"""<h1>{html.escape(title)}</h1>
{states}
<h2>Samples</h2>
{_samples(runs, times)}
<h2>Curves</h2>
<div class="charts">{figures or "<p>There are no numbers yet.</p>"}</div>
{_options(runs)}"""
    style, script = ((ASSETS / name).read_text(encoding="utf-8") for name in ("run.css", "run.js"))
    return html_page(title, style, body, script if times else "")


def _state(run: RunRecord, now: float) -> tuple[str, ...]:
    share = run.kimg / run.total if run.total > 0 else 0.0
    progress = (
        f"{run.kimg:,.6g} of {run.total:,.6g} kimg"
        f'<div class="bar"><div style="width:{100 * min(share, 1):.1f}%"></div></div>'
    )
    age = now - run.written
    finished = run.hours_left == 0
    ago = f"last number {_duration(age / 3600)} ago"
    state = "finished" if finished else f"running, {ago}" if age < _patience(run) else f"not running, {ago}"
    left = "" if finished else _duration(run.hours_left)
    return html.escape(printable(run.name)), progress, left, state, html.escape(printable(run.owner))


def _patience(run: RunRecord) -> float:
    """Seconds that may pass between two rows of metrics.csv."""
    steps = run.columns.get("kimg", [])
    speed = run.last("kimg_per_second", math.nan)
    if len(steps) < 2 or not speed > 0:
        return STALE
    return max(STALE, 3 * (steps[-1] - steps[-2]) / speed)


def _duration(hours: float) -> str:
    if not math.isfinite(hours):
        return "not known"
    minutes = round(hours * 60)
    if minutes < 60:
        return f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60} min" if hours < 48 else f"{hours / 24:.1f} days"


def _samples(runs: Sequence[RunRecord], times: Sequence[float]) -> str:
    if not times:
        return "<p>There are no sample grids yet.</p>"
    values = html.escape(json.dumps(times))
    slider = (
        f'<label>Thousands of images: <output id="told">{times[-1]:g} kimg</output><input type="range" id="kimg" '
        f'min="0" max="{len(times) - 1}" value="{len(times) - 1}" data-times="{values}"></label>'
    )
    return f'{slider}\n<div class="runs">{"".join(_run_samples(run) for run in runs)}</div>'


def _run_samples(run: RunRecord) -> str:
    name, chosen = html.escape(printable(run.name)), _thinned(run)
    images = "".join(
        f'<img src="{_embedded(run.grids[at])}" data-kimg="{at:g}" alt="{name} at {at:g} kimg"'
        f"{'' if at == chosen[-1] else ' hidden'}>"
        for at in chosen
    )
    last = f"{chosen[-1]:g} kimg" if chosen else ""
    reals = ""
    if run.reals is not None:
        picture = f'<img src="{_embedded(run.reals)}" alt="training images of {name}">'
        reals = f"<details><summary>Training images</summary>{picture}</details>"
    return f'<figure class="run"><b>{name}</b> <small>{last}</small>{images}{reals}</figure>\n'


def _thinned(run: RunRecord) -> list[float]:
    """The times of the grids on the page."""
    times = list(run.grids)
    if len(times) <= GRIDS:
        return times
    return [times[round(i * (len(times) - 1) / (GRIDS - 1))] for i in range(GRIDS)]


def _embedded(path: Path) -> str:
    """A picture as a data URI. Large ones are reduced."""
    file = io.BytesIO()
    with Image.open(path) as image:
        picture = image.convert("RGBA" if "A" in image.getbands() else "RGB")
        picture.thumbnail((WIDTH, 4 * WIDTH))
        picture.save(file, format="WebP", quality=85)
    return f"data:image/webp;base64,{base64.b64encode(file.getvalue()).decode()}"


def _options(runs: Sequence[RunRecord]) -> str:
    """All options of one run, or those in which several runs differ, and all options below."""
    names = sorted({name for run in runs for name in run.config})
    rows = [
        (name, *(html.escape(printable(str(run.config.get(name, "")))) for run in runs)) for name in names
    ]
    head = ("option", *(html.escape(printable(run.name)) for run in runs))
    different = [row for row in rows if len(set(row[1:])) > 1]
    part = ""
    if len(runs) > 1:
        found = html_table(head, different) if different else "<p>All options are equal.</p>"
        part = f"<h2>Options that differ</h2>\n{found}"
    return f"{part}<details><summary>All options</summary>{html_table(head, rows)}</details>"
