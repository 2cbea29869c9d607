"""The page of a coordinate check: one HTML file with the predictions, the slopes and every plot."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from matplotlib.figure import Figure

from stylegan2.coordinates.fit import Slope
from stylegan2.html_page import document, escaped, svg, table

COLORS = {"as predicted": "#1e8449", "differs": "#c0392b"}
"""The color of each verdict."""


def page(
    title: str, about: str, head: Sequence[str], slopes: Sequence[Slope], cells: Mapping[Slope, list[str]],
    figures: Mapping[str, Figure],
) -> str:  # fmt: skip
    """The page as text. It contains its style and plots, so it opens offline.

    Args:
        title: What was asked.
        about: What was measured.
        head: Names of the columns. The last is the verdict.
        slopes: Slopes with and without a prediction.
        cells: The texts of each slope's line.
        figures: The plot of each quantity.
    """
    predicted = [s for s in slopes if s.predicted is not None]
    wrong = sum(s.verdict == "differs" for s in predicted)
    result = f"{len(predicted) - wrong} of {len(predicted)} predicted exponents agree with the measured ones."
    plots = "".join(_plot(q, figure, [s for s in slopes if s.quantity == q]) for q, figure in figures.items())
    body = f"""<h1>{escaped(title)}</h1>
<p class="lead">{escaped(result if predicted else "Nothing is predicted for this choice.")}</p>
<p class="about">{escaped(about)}</p>
<h2>Predicted and measured</h2>
{_table(head, (cells[s] for s in predicted))}
<h2>Plots</h2>
<p class="about">Geometric means over seeds. A dashed line has the predicted slope and starts at the first point.</p>
{plots}
<h2>All slopes</h2>
{_table(head, (cells[s] for s in slopes if s.predicted is None))}"""
    return document(title, "report.css", body)


def _table(head: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    rows = [[*(escaped(cell) for cell in line[:-1]), _badge(line[-1])] for line in lines]
    return table([escaped(cell) for cell in head], rows)


def _badge(verdict: str) -> str:
    color = COLORS.get(verdict)
    return f'<span class="badge" style="background:{color}">{escaped(verdict)}</span>' if color else ""


def _plot(quantity: str, figure: Figure, slopes: Iterable[Slope]) -> str:
    about = "; ".join(
        f"{s.variant}{', over the default' if s.relative else ''}: {s.mean:.2f}, predicted {s.predicted:g}"
        for s in slopes
        if s.predicted is not None
    )
    caption = f"<figcaption>{escaped(about)}</figcaption>" if about else ""
    return f'<figure aria-label="{escaped(quantity)}">{svg(figure)}{caption}</figure>\n'
