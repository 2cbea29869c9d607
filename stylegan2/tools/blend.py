"""`stylegan2 blend`: one network of the coarse layers of one and the fine layers of another."""

from __future__ import annotations

import warnings
from pathlib import Path

from stylegan2.cli import make_function_parser
from stylegan2.errors import InputError
from stylegan2.explore.blending import RELATED, blend, kinship
from stylegan2.files import printable
from stylegan2.formats import Networks, formats, load
from stylegan2.parsing import Parser

NAMES = ("--coarse", "--fine")
"""The options that the first two words of the command line stand for."""


def blend_command(args: list[str], prog: str = "stylegan2 blend") -> int:
    """The command `stylegan2 blend A B --at 32 --out FILE`."""
    blend_files(**make_blend_parser(prog).parse_args(with_files(args)).as_dict())
    return 0


def make_blend_parser(prog: str = "stylegan2 blend") -> Parser:
    """The parser of `stylegan2 blend`, whose two files are options too."""
    parser = make_function_parser(blend_files, prog)
    parser.usage = f"{prog} COARSE FINE [options]"
    return parser


def with_files(args: list[str]) -> list[str]:
    """The arguments with the options of the first two files written out."""
    words = [arg for arg in args[:2] if not arg.startswith("-")] if args and args[0][:1] != "-" else []
    named = [part for pair in zip(NAMES, words) for part in pair]
    return [*named, *args[len(words) :]]


def blend_files(coarse: str, fine: str, at: int, out: str = "blended.ckpt") -> None:
    """Blend two networks of one ancestor, such as A.ckpt B.ckpt --at 32 --out blended.safetensors.

    The mapping network and the layers below the resolution come from the first one, those from it on from the second.

    Args:
        coarse: File of the network that gives layout and pose.
        fine: File of the network that gives textures and colors.
        at: The lowest resolution whose layers come from the second network.
        out: File to write, which ends with .ckpt or .safetensors. All commands but training take it.

    Raises:
        InputError: A file cannot be read or written, or the networks differ in more than their weights.
    """
    path = Path(out).expanduser()
    kinds = {format.suffix: format for name, format in formats.items() if name in ("native", "safetensors")}
    if path.suffix not in kinds or path.is_dir() or not path.absolute().parent.is_dir():
        raise InputError(
            f"--out expects a file in an existing folder that ends with {' or '.join(kinds)}, found {printable(out)}."
        )
    if path.exists() and any(path.samefile(Path(source).expanduser()) for source in (coarse, fine)):
        raise InputError(
            f"--out expects another file than the networks that are blended, found {printable(out)}."
        )
    first, second = load(coarse), load(fine)
    blended = blend(first.generator, second.generator, at)
    if (cosine := kinship(first.generator, second.generator)) < RELATED:
        warnings.warn(
            f"The cosine between the weights of the two networks is {cosine:.2f}, which unrelated networks have. "
            "Blending makes sense for networks that were trained from the same one."
        )
    about = {"class_names": first.about.get("class_names", [])} if blended.num_classes else {}
    write = kinds[path.suffix].write
    assert write is not None
    write(Networks(generator=blended, about={"images": 0, "iteration": 0, **about}), path)
    resolutions = blended.synthesis.resolutions
    below = resolutions[resolutions.index(at) - 1]
    print(f"Resolutions 4 to {below} of {coarse} and {at} to {resolutions[-1]} of {fine} in {path}")
