"""`stylegan2 sheet`: labeled contact sheets that show what a network does."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Literal

import torch
from PIL import Image
from tqdm import tqdm

from stylegan2.errors import InputError
from stylegan2.explore import sheets
from stylegan2.explore.directions import parse_interval
from stylegan2.explore.tables import zoom
from stylegan2.files import printable, with_room
from stylegan2.images import enlarged, png_bytes, save_png
from stylegan2.kernels import fixed_weights
from stylegan2.networks.generator import Generator

from .computing import RuntimeName, served, timed
from .exploring import Opened, check_count, check_truncation, layer_range, listed, open_network, read_edits
from .output import output_file, writing

Cell = Image.Image | None


def sheet(
    checkpoint: str,
    kind: Literal["mixing", "truncation", "noise", "layers", "classes"],
    out: str = "sheet.png",
    rows: str = "0-4",
    columns: str = "10-15",
    layers: str | None = None,
    psi: str = "1",
    steps: int = 7,
    cutoff: int | None = None,
    centers: int | None = None,
    noise: Literal["const", "random", "none"] = "const",
    classes: str | None = None,
    label: str | None = None,
    wide: int = 1,
    edit: str | None = None,
    directions: str = "directions.safetensors",
    device: str = "auto",
    runtime: RuntimeName = "auto",
) -> None:
    """Write a labeled sheet of images, such as --kind mixing --rows 0-4 --columns 10-15 --layers 0-3.

    Args:
        checkpoint: A .ckpt file that training wrote, or a file of another program (docs/formats.md).
        kind: mixing gives the seed of the row some layers of the seed of the column. truncation shows seeds with
            several psi. noise shows what the noise changes. layers takes one layer at a time from another seed.
            classes shows seeds with every class.
        out: PNG file to write.
        rows: Seeds of the rows.
        columns: For mixing and layers, seeds of the columns. layers takes one of them for each row in turn.
        layers: For mixing, the layers that come from the column, such as 0-3. null: the coarser half.
        psi: Truncation, as in generate. For truncation, a range such as -1..1.
        steps: For truncation, the number of values of psi in this range.
        cutoff: Number of rows of ws that truncation changes, from the coarsest on. null: all.
        centers: Truncate every seed towards the nearest of so many cluster centers of w. null: towards the mean
            of w, of the image's class if there are classes.
        noise: const uses the stored noise, random draws noise, none adds no noise.
        classes: For classes, the columns, as numbers, ranges and names, such as 0-2,cats. For the other kinds, the
            first of them is the class of all images. null: all.
        label: One label vector instead of classes, such as 0.3,0.7.
        wide: Repeats the constant of the lowest resolution so many times side by side, which makes images as many
            times as wide. It suits textures and landscapes: objects appear once for each repetition.
        edit: Moves along directions, such as smile=2.5,age=-1.
        directions: File of directions that `stylegan2 directions` wrote.
        device: auto, cpu, cuda or cuda:N.
        runtime: What computes the images on a CPU: torch, onnxruntime or openvino, as in generate. auto: the fastest
            installed one, if there are more than two minutes of work.

    Raises:
        InputError: The checkpoint cannot be read, the file cannot be written, or an option is wrong.
    """
    path = output_file(out, ".png")
    seeds, others = listed(rows, "--rows", 1000), listed(columns, "--columns", 1000)
    check_count("--steps", steps, 2, 1000)
    first, last = parse_interval(psi, "--psi")
    if first != last and kind != "truncation":
        raise InputError(f"--psi expects one number for --kind {kind}, found {printable(psi)}.")
    if first == last and kind == "truncation":
        first, last = (-1.0, 1.0) if first == 1 else (min(0.0, first), max(0.0, first))
    check_truncation(first, cutoff, None if kind == "truncation" else centers)
    opened = open_network(checkpoint, classes, label, device, wide)
    network = opened.network
    if kind == "classes" and not network.num_classes:
        raise InputError(
            "--kind classes expects a network with classes, found one without. Choose another kind."
        )
    chosen = layer_range(layers, network) if layers else range(max(1, network.num_ws // 2))
    moves = read_edits(edit, directions, network)
    width = {
        "mixing": len(others) + 1,
        "truncation": steps,
        "noise": sheets.DRAWS + 6,
        "layers": network.num_ws + 2,
        "classes": len(opened.labels),
    }
    network = served(network, runtime, (len(seeds) + 1) * width[kind])
    with fixed_weights():
        look = sheets.Look(
            network=network,
            label=opened.labels[0].vector,
            psi=first,
            cutoff=cutoff,
            noise=noise,
            centers=opened.clusters(centers),
            edits=moves,
        )
        psis = [round(psi, 6) + 0.0 for psi in torch.linspace(first, last, steps).double().tolist()]
        kinds: dict[str, Callable[..., Image.Image]] = {
            "mixing": partial(sheets.mixing, look, seeds, others, chosen),
            "truncation": partial(sheets.truncation, look, seeds, psis),
            "noise": partial(sheets.noises, look, seeds),
            "layers": partial(sheets.layers, look, seeds, others),
            "classes": partial(sheets.classes, look, seeds, named_labels(opened)),
        }
        paper = kinds[kind](progress=partial(progress, network, path))
    with writing(path):
        save_png(paper, path)
    print(f"{paper.width}×{paper.height} pixels in {path}")


def progress(network: Generator, path: Path, cells: Iterator[Cell], total: int) -> Iterator[Cell]:
    """Yield the cells of a sheet that becomes a file, with a progress bar, if the disk has room for it."""

    def size(cell: Cell) -> int:
        return 0 if cell is None else png_bytes(enlarged(cell, zoom(max(cell.size))))

    fitting = with_room(timed(network, cells), total, size, path.parent, f"a sheet of {total:,} images")
    with tqdm(desc="Images", total=total, unit="image") as bar:
        for cell in fitting:
            bar.update()
            yield cell


def named_labels(opened: Opened) -> list[tuple[str, torch.Tensor]]:
    """The chosen labels with names for people, such as "3 cats"."""
    return [
        (" ".join(label.suffix.removeprefix("-class").split("-", 1)).lstrip(" -") or "label", label.vector)
        for label in opened.labels
    ]
