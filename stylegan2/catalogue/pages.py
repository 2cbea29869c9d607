"""The page of a normalization, by one template."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

from stylegan2.catalogue.choosing import choosing
from stylegan2.catalogue.facts import facts
from stylegan2.catalogue.figures import write_mask
from stylegan2.catalogue.index import index
from stylegan2.catalogue.measure import Layer, Measurement
from stylegan2.catalogue.record import Record
from stylegan2.catalogue.tables import (
    COLUMNS,
    cost_conditions,
    depth_table,
    droplet_table,
    exponent_table,
    layer_row,
    training_text,
)
from stylegan2.errors import InputError
from stylegan2.files import markdown_table, write_text
from stylegan2.networks.normalization import NormalizationOptions
from stylegan2.networks.normalization.base import changes_features, definition, normalizations, options_of

PACKAGE = Path(__file__).parents[1]


def write_pages(record: Record, out: Path) -> int:
    """Write index.md, choosing.md, and a page and a picture for each normalization whose layer was measured.

    Returns:
        The number of pages besides index.md.

    Raises:
        InputError: No layer was measured.
    """
    names = [name for name in normalizations if record.figures("layer", name)]
    if not names:
        raise InputError(f"Expected measurements of layers in {record.path}, found none. Add --parts layer.")
    for name in names:
        m = Measurement(**record.figures("layer", name))
        write_mask(m, out / "masks" / f"{name}.png")
        write_text(out / f"{name}.md", page(m, record, out))
    write_text(out / "index.md", index(names, record, out))
    write_text(out / "choosing.md", choosing(names, record))
    return len(names) + 1


def code(name: str) -> str:
    """The lines that include the class of a normalization, and the function of its name if there is one."""
    defined = definition(normalizations[name])
    source = Path(inspect.getfile(defined))
    if not source.is_relative_to(PACKAGE):
        return ""
    path = f"../../stylegan2/{source.relative_to(PACKAGE).as_posix()}"
    objects = [defined.__name__] + [name] * inspect.isfunction(
        getattr(inspect.getmodule(defined), name, None)
    )
    return "\n\n".join(f"```{{literalinclude}} {path}\n:pyobject: {object}\n```" for object in objects)


def page(m: Measurement, record: Record, out: Path) -> str:
    """The page of one normalization."""
    f = facts(m.name)
    parts = [
        f"# {f.title}",
        f"$$\n{f.equation}\n$$" if f.equation else "",
        f.verdict,
        "## Code",
        code(m.name),
        "## State",
        state(m.name),
        "## Use",
        use(m.name),
        "## In one layer",
        markdown_table(COLUMNS, [layer_row(m, record)]),
        f"The [overview](index.md) explains the columns. {cost_conditions(record)}",
        f"![What one output depends on](masks/{m.name}.png)",
        "The picture shows how strongly the middle pixel of one channel of one sample depends on the convolved "
        "features. Its rows are the same sample and another one. Its columns are the same channel, the next one and "
        "the last one.",
        *_section("Over depth", depth_table(m.name, record)),
        *_section("Over size", exponent_table(m.name, record)),
        *_section("In training", training_text(m.name, record, out)),
        *_section("Droplets", droplet_table(m.name, record)),
        "## Checked against",
        f"{f.oracle[:1].upper()}{f.oracle[1:]}, in float64, with a tolerance of 1e-6 (tests/test_normalization*.py)."
        if f.oracle
        else "",
        "## Paper" if f.paper else "",
        linked(f.paper),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _section(heading: str, text: str) -> list[str]:
    """A section, or nothing without a text."""
    return [f"## {heading}", text] if text else []


def linked(paper: str) -> str:
    """Text with links in place of numbers of arXiv."""
    words = []
    for word in paper.split():
        number = word.strip(",;")
        if number.startswith("arXiv:"):
            word = word.replace(number, f"[{number}](https://arxiv.org/abs/{number.removeprefix('arXiv:')})")
        words.append(word)
    return " ".join(words) + ("." if words else "")


def state(name: str) -> str:
    """A table of the parameters and buffers in a layer of 16 channels."""
    network = "generator" if normalizations[name].needs_styles else "discriminator"
    norm = Layer(name, network).module.normalization
    rows = [[f"`{key}`", "parameter", shape(p.shape)] for key, p in norm.named_parameters()]
    rows += [[f"`{key}`", "buffer", shape(b.shape)] for key, b in norm.named_buffers()]
    if not rows:
        return "It has no parameters and no state."
    text = (
        "Parameters and buffers in a layer of 16 channels. All are in checkpoints and in the generator EMA."
    )
    return text + "\n\n" + markdown_table(["name", "kind", "shape"], rows)


def shape(sizes: Sequence[int]) -> str:
    return " × ".join(map(str, sizes)) or "1"


def use(name: str) -> str:
    """How to choose it, and what it asks for."""
    kind, lines = normalizations[name], []
    lines.append(f"In the generator: `--model.generator.normalization {name}`. ")
    if changes_features(kind):
        what = "It follows the unmodulated convolution, "
        what += "and w gives its scale and shift." if kind.conditional else "and the styles scale its result."
        lines.append(what)
    if kind.needs_styles:
        lines.append("It is the default. The discriminator has no styles, so it cannot use it.")
    else:
        lines.append(f"In the discriminator: `--model.discriminator.normalization {name}`.")
    if kind.conditional:
        lines.append("There it reads the labels.")
    if kind.activates:
        lines.append("It replaces the activation.")
    if not changes_features(kind) and name not in ("none", "demodulation"):
        lines.append(f"Beside another normalization: `weight_normalization {name}` of either network.")
    text = " ".join(line.strip() for line in lines)
    written = {field.name for field in fields(NormalizationOptions)}
    options, others = ([o for o in options_of(kind) if (o in written) == known] for known in (True, False))
    if options:
        text += f"\n\nOptions, such as `normalization.{options[0]}`, and arguments in Python: {', '.join(options)}."
    if others:
        text += f"\n\nArguments in Python alone: {', '.join(others)}."
    for penalty, reason in kind.refuses.items():
        text += f"\n\nIt is refused with the penalty {penalty}: {reason}."
    if note := kind.notes.get("r1"):
        text += f"\n\nWith R1, {note}."
    return text
