"""`stylegan2 convert`: reads the networks of a file of any known format and writes them in another one."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from stylegan2.cli import make_function_parser
from stylegan2.errors import InputError
from stylegan2.files import printable
from stylegan2.formats import Format, Networks, formats, load
from stylegan2.formats.card import card_of, write_card
from stylegan2.parsing import Parser

LATENTS = 4
"""Number of latents that `--verify` compares."""


def convert_command(args: list[str], prog: str = "stylegan2 convert") -> int:
    """The command `stylegan2 convert SOURCE DESTINATION`."""
    convert(**make_convert_parser(prog).parse_args(with_names(args)).as_dict())
    return 0


def make_convert_parser(prog: str = "stylegan2 convert") -> Parser:
    """The parser of `stylegan2 convert`, whose two files are options too."""
    parser = make_function_parser(convert, prog)
    parser.usage = f"{prog} SOURCE DESTINATION [options]"
    return parser


def with_names(args: list[str]) -> list[str]:
    """The arguments with the options of the first two files written out."""
    words = [arg for arg in args[:2] if not arg.startswith("-")] if args and args[0][:1] != "-" else []
    named = [part for pair in zip(("--source", "--destination"), words) for part in pair]
    return [*named, *args[len(words) :]]


def convert(
    source: str,
    destination: str,
    to: str | None = None,
    verify: bool = False,
    license: str | None = None,
) -> None:
    """Read networks from a file of any known format and write them in another one, with a model card beside it.

    Args:
        source: The file to read: a checkpoint of this package, NVIDIA's .pkl, rosinality's .pt, TensorFlow's .pkl,
            a state dictionary, or a safetensors file. Nothing in it is executed.
        destination: The file to write. DESTINATION.json and DESTINATION.md are its model card.
        to: native, safetensors, official (NVIDIA's state dictionaries), rosinality, export (torch.export) or
            onnx. null: by the end of the destination's name, .ckpt, .safetensors, .pt2 or .onnx.
        verify: Read the result again, and print the largest difference between its outputs and the source's.
        license: The license of the weights, for the model card.

    Raises:
        InputError: The source cannot be read, the destination cannot be written, or the format cannot hold the
            networks.
    """
    name, format = _format(destination, to)
    path = _destination(destination, source)
    networks = load(source)
    assert format.write is not None
    try:
        lost = format.write(networks, path)
        remarks = [*networks.remarks, *lost]
        card = card_of(
            networks,
            source=Path(source),
            format=name,
            license=license,
            metrics=_metrics(Path(source), networks),
            remarks=remarks,
        )
        cards = write_card(card, path)
    except OSError as error:
        raise InputError(
            f"Expected to write {printable(destination)}, found that this fails ({error.strerror or error}). Name "
            "another file, or make room."
        ) from error
    what = ", ".join(network.replace("_", " ") for network in networks.named())
    height, width = networks.generator.image_size
    print(
        f"{printable(str(path))}: {name}, {height}×{width}, {what}, and {cards[0].name} and {cards[1].name}"
    )
    for remark in remarks:
        print(f"note: {printable(remark)}")
    if verify:
        print(_verified(networks, format, path))


def _format(destination: str, to: str | None) -> tuple[str, Format]:
    """The name and the format that shall be written."""
    written = {name: format for name, format in formats.items() if format.write is not None}
    if to is not None:
        if to not in written:
            raise InputError(f"--to expects one of {', '.join(written)}, found {printable(to)}.")
        return to, written[to]
    suffix = Path(destination).suffix
    fitting = [name for name, format in written.items() if format.suffix == suffix]
    if len(fitting) != 1:
        choice = fitting or list(written)
        raise InputError(
            f"The end of {printable(destination)} does not tell the format. Choose it with --to: "
            f"{', '.join(choice)}."
        )
    return fitting[0], written[fitting[0]]


def _destination(destination: str, source: str) -> Path:
    path = Path(destination).expanduser()
    if path.is_dir() or not path.parent.is_dir() or path.resolve() == Path(source).expanduser().resolve():
        raise InputError(
            "Expected the name of a file to write, in an existing folder and not the source itself, found "
            f"{printable(destination)}. Choose another file."
        )
    return path


def _metrics(source: Path, networks: Networks) -> dict[str, float]:
    """What the run that a checkpoint belongs to measured when it was written, from its metrics.csv."""
    from stylegan2.files import read_csv

    table, images = source.parent.parent / "metrics.csv", networks.about.get("images")
    if source.parent.name != "checkpoints" or not table.is_file() or not isinstance(images, int):
        return {}
    found: dict[str, float] = {}
    for row in read_csv(table):
        try:
            if math.isclose(float(row["kimg"]), images / 1000, rel_tol=1e-5, abs_tol=1e-3):
                found |= {
                    column.removeprefix("metric_"): float(value)
                    for column, value in row.items()
                    if column.startswith("metric_") and value
                }
        except (KeyError, ValueError, TypeError, AttributeError):
            continue  # a row that another program changed
    return found


@torch.no_grad()
def _verified(networks: Networks, format: Format, path: Path) -> str:
    """A sentence on how far the outputs of a written file are from those of its source."""
    g = networks.generator
    dtype = next(g.parameters()).dtype
    z = torch.from_numpy(np.random.RandomState(0).randn(LATENTS, g.z_dim)).to(dtype)
    c = (
        torch.eye(g.num_classes, dtype=dtype)[torch.arange(LATENTS) % g.num_classes]
        if g.num_classes
        else None
    )
    psis = (1.0, 0.7)
    ours = [g(z, c, psi=psi, noise="const") for psi in psis]
    logits = ""
    if format.run is not None:
        sample = format.run(path)
        theirs = [sample(z.float(), psi, None if c is None else c.float()) for psi in psis]
    else:
        result = load(path)
        theirs = [result.generator.to(dtype)(z, c, psi=psi, noise="const") for psi in psis]
        d, again = networks.discriminator, result.discriminator
        if d is not None and again is not None:
            images = torch.cat(ours).to(dtype)
            labels = None if c is None else torch.cat([c, c])
            logits = f", of logits {_difference(d(images, labels), again.to(dtype)(images, labels))}"
    pixels = max((_difference(a, b) for a, b in zip(ours, theirs)), key=float)
    return (
        f"verified: the largest difference of pixels is {pixels}{logits} ({LATENTS} latents, psi 1 and 0.7, pixels "
        "nominally in [-1, 1])"
    )


def _difference(a: Tensor, b: Tensor) -> str:
    return f"{float((a.double() - b.double()).abs().max()):.2g}"
