"""`stylegan2 augment`: a labeled sheet of what every transform of the augmentation pipeline does to images."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from stylegan2.augment import augmentations, pipeline
from stylegan2.augment.examples import examples
from stylegan2.augment.options import GROUPS, ADAOptions
from stylegan2.cli import build_data, select, train_parser
from stylegan2.data import to_float
from stylegan2.errors import InputError
from stylegan2.images import save_png, to_picture
from stylegan2.parsing import Parser
from stylegan2.training.options import RunOptions

COLUMNS = 6
"""Examples in a row, beside the image itself."""

CELL, TEXT, NAME, GAP = 128, 22, 150, 8
"""Pixels: an image's side, the height of a label, the width of a row's name, and the space between images."""

PROBABILITIES = (0.2, 0.5, 0.8)
"""Of the rows in which the transforms act together."""


@dataclass(frozen=True, kw_only=True)
class SheetOptions:
    """The options of the sheet itself."""

    out: str = "augment.png"
    """PNG file to write."""


@dataclass(frozen=True)
class Row:
    """A row of the sheet: its name, a note below it, and pictures with their labels."""

    name: str
    note: str
    cells: list[tuple[str, Image.Image]]


def make_augment_parser(prog: str = "stylegan2 augment") -> Parser:
    """Make the parser of the sheet's options and of those of training."""
    parser = train_parser(prog)
    parser.description = (
        "Write a sheet of what every augmentation does to your images: each transform of ADA at its strengths "
        "(--model.ada.strengths.*), all of --model.ada.groups together at several probabilities, and DiffAugment. "
        "Without --data.path it shows the images of the package. All options of train.py can be given too."
    )
    parser.add_class_arguments(SheetOptions)
    return parser


def augment_command(args: list[str], prog: str = "stylegan2 augment") -> int:
    """Write the sheet for the images that the options choose. Returns the exit status.

    Raises:
        InputError: The images cannot be used, or the file cannot be written.
    """
    parser = make_augment_parser(prog)
    given = {arg.split("=")[0] for arg in args}
    if not given & {"--config", "--data.resolution"}:
        args = ["--data.resolution", "128", *args]
    config = parser.instantiate(parser.parse_args(args))
    run, out = select(config, RunOptions), Path(select(config, SheetOptions).out).expanduser()
    if out.is_dir() or not out.absolute().parent.is_dir():
        raise InputError(f"--out expects a file in an existing folder, found {out}. Make the folder first.")
    dataset = build_data(config).open()
    order = torch.randperm(dataset.num_images, generator=torch.Generator().manual_seed(run.seed))
    rows = order[torch.arange(COLUMNS + 1) % len(order)].tolist()
    torch.manual_seed(run.seed)
    paper = sheet(to_float(dataset[rows][0]), config.model.ada)
    try:
        save_png(paper, out)
    except OSError as error:
        raise InputError(
            f"--out expects a file that can be written, found {out} ({error}). Name another one."
        ) from error
    print(f"{paper.width}×{paper.height} pixels in {out}")
    return 0


def sheet(images: Tensor, options: ADAOptions) -> Image.Image:
    """The sheet of images (COLUMNS + 1, C, R, R) in [-1, 1]."""
    return lay_out([*transforms(images, options), *together(images, options)])


def transforms(images: Tensor, options: ADAOptions) -> Iterator[Row]:
    """A row for every transform. The transforms of a group show one image."""
    for image, (group, names) in zip(images, GROUPS.items()):
        for name in names:
            if len(image) < 3 and name in ("hue", "saturation"):
                continue
            shown = examples(name, options.strengths, image)
            cells = [(e.label, pipeline.apply(image[None], e.parameters)[0]) for e in shown]
            yield Row(
                name, group, [("image", _picture(image)), *((label, _picture(x)) for label, x in cells)]
            )


def together(images: Tensor, options: ADAOptions) -> Iterator[Row]:
    """Rows with the images themselves, with all chosen groups at several probabilities, and with DiffAugment."""

    def cells(images: Tensor) -> list[tuple[str, Image.Image]]:
        return [("", _picture(image)) for image in images]

    groups = ", ".join(options.groups) or "no groups"
    yield Row("images", "", cells(images))
    for p in PROBABILITIES:
        yield Row(f"p = {p:g}", groups, cells(pipeline.apply(images, pipeline.draw(options, p, images))))
    yield Row("diffaug", "color, translation,\ncutout", cells(augmentations["diffaug"]()(images)))


def _picture(image: Tensor) -> Image.Image:
    """An image as an RGB picture in the middle of CELL × CELL pixels. What is transparent shows white."""
    picture = to_picture(image)
    if picture.mode == "RGBA":
        picture = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture)
    longest = max(picture.size)
    filter = Image.Resampling.LANCZOS if longest > CELL else Image.Resampling.NEAREST
    width, height = (max(1, round(side * CELL / longest)) for side in picture.size)
    cell = Image.new("RGB", (CELL, CELL), "white")
    cell.paste(
        picture.convert("RGB").resize((width, height), filter), ((CELL - width) // 2, (CELL - height) // 2)
    )
    return cell


def lay_out(rows: Sequence[Row]) -> Image.Image:
    """The rows below each other, each with its name to the left and with a label above every picture."""
    from matplotlib import get_data_path  # for its fonts, which have all letters that labels need

    folder = Path(get_data_path()) / "fonts" / "ttf"
    bold, plain = (ImageFont.truetype(folder / f"DejaVuSans{kind}.ttf", 13) for kind in ("-Bold", ""))
    small = ImageFont.truetype(folder / "DejaVuSans.ttf", 11)
    width, height = NAME + (COLUMNS + 1) * (CELL + GAP) + GAP, TEXT + CELL + GAP
    paper = Image.new("RGB", (width, len(rows) * height + GAP), "white")
    pen = ImageDraw.Draw(paper)
    for number, row in enumerate(rows):
        top = number * height + GAP
        if number and row.note != rows[number - 1].note:
            pen.line([(GAP, top - GAP // 2), (width - GAP, top - GAP // 2)], fill="#bbbbbb")
        pen.text((GAP, top + TEXT), row.name, fill="black", font=bold)
        pen.text((GAP, top + TEXT + 20), row.note, fill="#666666", font=plain)
        for column, (label, picture) in enumerate(row.cells):
            left = NAME + column * (CELL + GAP)
            pen.text((left + CELL / 2, top + TEXT - 4), label, fill="black", font=small, anchor="ms")
            pen.rectangle((left - 1, top + TEXT - 1, left + CELL, top + TEXT + CELL), outline="#cccccc")
            paper.paste(picture, (left, top + TEXT))
    return paper
