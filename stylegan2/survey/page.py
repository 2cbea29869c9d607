"""The page about a set of images: one HTML file that opens offline, with thumbnails of what was found."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Iterable, Sequence
from contextlib import suppress
from multiprocessing.pool import ThreadPool
from pathlib import Path

from PIL import Image

from stylegan2.data.checking import usable_cpus
from stylegan2.data.decoding import decode
from stylegan2.data.names import printable
from stylegan2.files import html_page, html_table, write_text
from stylegan2.sizes import text
from stylegan2.survey.survey import Survey

STYLE = Path(__file__).parent.parent / "assets" / "survey.css"
SIDE = 96
"""Side of a thumbnail in pixels."""
GROUPS, PER_GROUP, SINGLES, ODDITIES, ROWS = 20, 5, 30, 8, 100
"""Groups of duplicates of each kind, thumbnails of a group, of another section, kinds of odd files, and rows of a
table or list."""


def write_page(path: Path, survey: Survey, size: int | tuple[int, int]) -> None:
    """Write the page, with at most 300 thumbnails. A file of that name is replaced.

    Args:
        path: The HTML file.
        survey: What was found.
        size: The size to which the images are converted: a side, or height and width.
    """
    write_text(path, page(survey, size))


def page(survey: Survey, size: int | tuple[int, int]) -> str:
    """The page as text. Every name in it is escaped."""
    facts, source = survey.facts, survey.dataset.options.path
    title = f"{printable(source)} at {text(size)}"
    parts = [
        f"<h1>{html.escape(title)}</h1>",
        _table(("", "found"), survey.lines(size)),
        _groups("Equal files", survey, survey.equal, "The files of a group are equal byte for byte."),
        _groups(
            "Images that look alike",
            survey,
            survey.alike,
            "A difference hash and mean colors are about equal. These may be copies at another size or quality, "
            "frames of one film, or different simple drawings: look before you remove any.",
        ),
        _pictures(
            "Extreme aspect ratios",
            survey,
            survey.extreme(size),
            "Width / height is at least twice the wanted one, or at most half of it. Cropping loses much of these "
            "images, and padding makes wide margins.",
        ),
        _pictures(
            "Images that are enlarged",
            survey,
            survey.enlarged(size),
            "They have fewer pixels than the wanted size, so they are blurred. The smallest come first.",
        ),
        *(
            _pictures(f"Odd files: {oddity}", survey, rows, "", limit=5)
            for oddity, rows in list(survey.oddities.items())[:ODDITIES]
        ),
        _names("Unreadable files", [f"{name}: {why}" for name, why in survey.unreadable.items()]),
        *(_names(f"Passed over: {why}", names) for why, names in survey.passed_over.items()),
        _counted("Classes", "class", survey.classes.items()),
        _counted("Modes", "mode", survey.modes.most_common()),
        _counted("Sizes", "height × width", [(text(s), n) for s, n in survey.sizes.most_common()]),
        _counted("Aspect ratios", "width / height", _aspects([fact.aspect for fact in facts])),
    ]
    return html_page(title, STYLE.read_text(encoding="utf-8"), "".join(part for part in parts if part))


def _escaped(text: str) -> str:
    return html.escape(printable(text))


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    return html_table([_escaped(cell) for cell in head], ([_escaped(cell) for cell in row] for row in rows))


def _counted(title: str, what: str, counts: Iterable[tuple[str, int]]) -> str:
    rows = [(name, f"{count:,}") for name, count in counts]
    if not rows:
        return ""
    return _section(title, len(rows), _table((what, "images"), rows[:ROWS]) + _more(len(rows) - ROWS, "rows"))


def _names(title: str, names: Sequence[str]) -> str:
    if not names:
        return ""
    items = "".join(f"<li>{_escaped(name)}</li>" for name in names[:ROWS])
    return _section(title, len(names), f"<ul>{items}</ul>" + _more(len(names) - ROWS, "files"))


def _groups(title: str, survey: Survey, groups: Sequence[Sequence[int]], about: str) -> str:
    if not groups:
        return ""
    shown = [rows[:PER_GROUP] for rows in groups[:GROUPS]]
    thumbnails = iter(_thumbnails(survey, [row for rows in shown for row in rows]))
    content = f"<p>{about}</p>"
    for rows, part in zip(groups, shown):
        more = _more(len(rows) - len(part), "images")
        content += f'<div class="group">{"".join(next(thumbnails) for _ in part)}{more}</div>\n'
    return _section(title, len(groups), content + _more(len(groups) - GROUPS, "groups"), "groups")


def _pictures(title: str, survey: Survey, rows: Sequence[int], about: str, limit: int = SINGLES) -> str:
    if not rows:
        return ""
    content = f'<p>{about}</p><div class="group">{"".join(_thumbnails(survey, rows[:limit]))}</div>\n'
    return _section(title, len(rows), content + _more(len(rows) - limit, "images"))


def _section(title: str, count: int, content: str, what: str = "") -> str:
    words = f"{count:,} {what}".strip()
    return f"<details open><summary><h2>{_escaped(title)}</h2> <span>{words}</span></summary>\n{content}</details>\n"


def _more(count: int, what: str) -> str:
    return f"<p>and {count:,} more {what}</p>" if count > 0 else ""


def _thumbnails(survey: Survey, rows: Sequence[int]) -> list[str]:
    """A figure for each row, with the whole image within 96×96 pixels."""

    def figure(row: int) -> str:
        name, fact = survey.names[row], survey.facts[row]
        picture = '<span class="gone">cannot be read any more</span>'
        with suppress(Exception):  # PIL and zipfile raise a dozen kinds for damaged files
            pixels = decode(
                survey.dataset.source.read(name), SIDE, 3, survey.dataset.options.max_pixels, crop="pad"
            )
            file = io.BytesIO()
            Image.fromarray(pixels.transpose(1, 2, 0)).save(file, "JPEG", quality=80)
            data = base64.b64encode(file.getvalue()).decode()
            picture = f'<img src="data:image/jpeg;base64,{data}" alt="" width="{SIDE}" height="{SIDE}">'
        caption = f"{_escaped(name)}<br><small>{text((fact.height, fact.width))}</small>"
        return f"<figure>{picture}<figcaption>{caption}</figcaption></figure>"

    with ThreadPool(usable_cpus()) as pool:
        return pool.map(figure, rows)


def _aspects(values: Sequence[float]) -> list[tuple[str, int]]:
    """How many images have which width / height."""
    edges = [0.5, 2 / 3, 0.8, 0.95, 1.05, 1.25, 1.5, 2.0]
    counts = [0] * (len(edges) + 1)
    for value in values:
        counts[sum(value >= edge for edge in edges)] += 1
    names = [f"below {edges[0]:.2f}"]
    names += [f"{low:.2f} to {high:.2f}" for low, high in zip(edges, edges[1:])] + [
        f"{edges[-1]:.2f} and more"
    ]
    return [(name, count) for name, count in zip(names, counts) if count]
