"""A labeled sheet: rows and columns of images with their names."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from stylegan2.errors import InputError
from stylegan2.images import enlarged

CELL = 96
"""Smaller images are enlarged by a whole number to at least so many pixels a side."""

PIXELS = 2**26
"""Most pixels of a sheet, which take 200 MB of memory."""

GAP, MARGIN = 4, 10
"""Pixels between images, and around names."""


def check_size(rows: int, columns: int, width: int, height: int) -> None:
    """Refuse a sheet that is too large, for images of so many pixels.

    Raises:
        InputError: It has more than 2^26 pixels, or no cell.
    """
    scale = zoom(max(width, height))
    pixels = rows * columns * width * height * scale**2
    if not 0 < pixels <= PIXELS:
        raise InputError(
            f"Expected a sheet of 1 to {PIXELS:,} pixels, found {rows} rows and {columns} columns of images of "
            f"{width * scale}×{height * scale} pixels. Choose fewer."
        )


def zoom(side: int) -> int:
    """How often an image is enlarged."""
    return -(-CELL // side)


def table(
    pictures: Iterable[Image.Image | None], rows: Sequence[str], columns: Sequence[str], corner: str = ""
) -> Image.Image:
    """Lay out pictures of one size row by row, with a name beside every row and above every column.

    Args:
        pictures: One for each cell, row by row. None leaves a cell empty. They are taken one after the other.
        rows: Names of the rows.
        columns: Names of the columns.
        corner: Text above the names of the rows.
    """
    font = ImageFont.truetype(_font(), 13)
    left = max([_width(font, text) for text in (*rows, corner)]) + 2 * MARGIN
    top, paper, pen, cell = 13 + 2 * MARGIN, None, None, (0, 0)
    pictures = iter(pictures)
    held: list[int] = []
    for number in range(len(rows) * len(columns)):
        picture = next(pictures)
        if picture is None:
            held.append(number)
            continue
        picture = enlarged(_opaque(picture), zoom(max(picture.size)))
        if paper is None:
            cell = (picture.width + GAP, picture.height + GAP)
            widest = max(_width(font, text) for text in columns) + MARGIN
            cell = (max(cell[0], widest), cell[1])
            size = (left + len(columns) * cell[0], top + len(rows) * cell[1])
            paper = Image.new("RGB", size, "white")
            pen = ImageDraw.Draw(paper)
        row, column = divmod(number, len(columns))
        x = left + column * cell[0] + (cell[0] - GAP - picture.width) // 2
        paper.paste(picture, (x, top + row * cell[1]))
    if paper is None or pen is None:
        raise ValueError("a sheet needs one picture or more")
    pen.text((MARGIN, top - MARGIN), corner, fill="#666666", font=font, anchor="ls")
    for row, text in enumerate(rows):
        middle = top + row * cell[1] + (cell[1] - GAP) // 2
        pen.text((left - MARGIN, middle), text, fill="black", font=font, anchor="rm")
    for column, text in enumerate(columns):
        middle = left + column * cell[0] + (cell[0] - GAP) // 2
        pen.text((middle, top - MARGIN), text, fill="black", font=font, anchor="ms")
    return paper


def _opaque(picture: Image.Image) -> Image.Image:
    if picture.mode == "RGBA":
        picture = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture)
    return picture.convert("RGB")


def _width(font: ImageFont.FreeTypeFont, text: str) -> int:
    return int(font.getlength(text)) + 1


def _font() -> Path:
    from matplotlib import get_data_path  # for its font, which has all letters that names need

    return Path(get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"
