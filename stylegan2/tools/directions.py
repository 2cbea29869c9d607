"""`stylegan2 directions`: directions in W along which images change, found without labels."""

from __future__ import annotations

from functools import partial
from typing import Literal

from stylegan2.errors import InputError
from stylegan2.explore import sheets
from stylegan2.explore.directions import find_directions, renamed, write_directions
from stylegan2.files import printable
from stylegan2.images import save_png
from stylegan2.kernels import fixed_weights

from .exploring import check_count, check_truncation, layer_range, listed, open_network
from .output import output_file, writing
from .sheet import progress

STRENGTHS = (-4.0, -2.0, 0.0, 2.0, 4.0)
"""Of the columns of the sheet, in standard deviations of w."""


def directions(
    checkpoint: str,
    out: str = "directions.safetensors",
    method: Literal["sefa", "pca"] = "sefa",
    samples: int = 20_000,
    layers: str | None = None,
    count: int = 10,
    names: str | None = None,
    seed: int = 0,
    psi: float = 1.0,
    classes: str | None = None,
    label: str | None = None,
    device: str = "auto",
) -> None:
    """Find directions in W along which images change, such as --method sefa --layers 4-7, and show the first ten.

    `video`, `sheet` and `project` move along them: --edit NAME=2.5. A strength of 1 is one standard deviation of w
    along the direction.

    Args:
        checkpoint: A .ckpt file that training wrote, or a file of another program (docs/formats.md).
        out: File of the directions, which ends with .safetensors. A sheet is written beside it, as .png.
        method: sefa factorizes the weights that turn w into styles (Shen and Zhou 2021). pca takes the principal
            components of w (Härkönen et al. 2020).
        samples: Number of latents that pca, and the standard deviation along each direction, are computed from.
        layers: Layers that an edit changes, such as 4-7, and whose weights sefa factorizes. null: all.
        count: Number of directions.
        names: Names for some of them by their place, such as 0=smile,3=age. null: sefa0, sefa1, ...
        seed: Seed of the image on the sheet.
        psi: Truncation of the image on the sheet.
        classes: Class of the image on the sheet, by number or name. null: the first.
        label: A label vector instead.
        device: auto, cpu, cuda or cuda:N.

    Raises:
        InputError: The checkpoint cannot be read, the file cannot be written, or an option is wrong.
    """
    path = output_file(out, ".safetensors")
    check_count("--samples", samples, 2, 10_000_000)
    check_count("--seed", seed, 0, 2**32 - 1)
    check_truncation(psi)
    given = parse_names(names)
    opened = open_network(checkpoint, classes, label, device)
    network = opened.network
    check_count("--count", count, 1, network.w_dim)
    rows = layer_range(layers, network)
    with fixed_weights():
        found = renamed(find_directions(network, method, rows, count, samples), given)
        look = sheets.Look(network=network, label=opened.labels[0].vector, psi=psi)
        paper = sheets.edited(look, seed, found, STRENGTHS, progress=partial(progress, network, path))
    with writing(path):
        write_directions(found, path)
        save_png(paper, path.with_suffix(".png"))
    print(f"{len(found.vectors)} directions for layers {rows.start}-{rows.stop - 1} in {path}")
    print(f"{paper.width}×{paper.height} pixels in {path.with_suffix('.png')}")


def parse_names(text: str | None) -> list[tuple[int, str]]:
    """ "0=smile,3=age" as places and names.

    Raises:
        InputError: Anything else.
    """
    pairs = []
    for part in [] if text is None else text.split(","):
        place, _, name = part.partition("=")
        if not name.strip() or name.strip().isdecimal() or not place.strip().isdecimal():
            raise InputError(
                f"--names expects places and names, such as 0=smile,3=age, found {printable(part)}."
            )
        pairs.append((listed(place, "--names", 1)[0], name.strip()))
    return pairs
