"""A model card for each converted file: what the networks are, where they come from, and what is not known."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from stylegan2 import __version__
from stylegan2.files import printable, write_text

from . import Networks
from .native import plain_about, plain_entry

UNKNOWN = "not known"


def card_of(
    networks: Networks,
    *,
    source: Path,
    format: str,
    license: str | None,
    metrics: Mapping[str, float],
    remarks: Sequence[str],
) -> dict[str, Any]:
    """The card of converted networks as plain data.

    Args:
        networks: What was converted.
        source: The file that they were read from. The card has its name without its folder.
        format: Name of the format that was written.
        license: Of the weights. None is what the source says, if it says anything.
        metrics: Values by the name of the metric, measured for exactly these weights.
        remarks: Sentences about what is not known and what the format does not hold.
    """
    g, d, about = networks.generator, networks.discriminator, plain_about(networks.about)
    images, data = about.get("images"), about.get("data")
    known = isinstance(images, int) and images > 0
    return {
        "name": printable(source.stem),
        "format": format,
        "source": printable(source.name),
        "written_by": f"stylegan2 {__version__}",
        "license": license or about.get("license") or UNKNOWN,
        "data": data or UNKNOWN,
        "kimg": images / 1000 if known and images is not None else UNKNOWN,
        "metrics": dict(metrics) or UNKNOWN,
        "class_names": about.get("class_names", []),
        "image_size": list(g.image_size),
        "parameters": {
            name: sum(parameter.numel() for parameter in network.parameters())
            for name, network in networks.named().items()
        },
        "generator": plain_entry(g.config),
        "discriminator": plain_entry(d.config) if d is not None else None,
        "scalings": plain_entry(g.scalings),
        "remarks": list(remarks),
    }


def as_markdown(card: Mapping[str, Any]) -> str:
    """The card for readers."""
    g = card["generator"]
    classes = g["num_classes"] or "none"
    size = f"{card['image_size'][0]}×{card['image_size'][1]}, {g['img_channels']} channels"
    metrics = card["metrics"]
    if isinstance(metrics, Mapping):
        metrics = ", ".join(f"{name} {value:g}" for name, value in metrics.items())
    data = card["data"]
    if isinstance(data, Mapping):
        data = ", ".join(f"{name}: {_line(value)}" for name, value in data.items())
    parameters = ", ".join(f"{name} {count:,}" for name, count in card["parameters"].items())
    rows = {
        "License": card["license"],
        "Architecture": f"StyleGAN2, {g['architecture']}",
        "Images": size,
        "Classes": classes,
        "Parameters": parameters,
        "Training data": data,
        "Training length": f"{card['kimg']} kimg" if card["kimg"] != UNKNOWN else UNKNOWN,
        "Metrics": metrics,
        "Format": card["format"],
        "Converted from": card["source"],
        "Written by": card["written_by"],
    }
    lines = [
        f"# {_line(card['name'])}",
        "",
        *(f"- **{name}:** {_line(value)}" for name, value in rows.items()),
    ]
    if card["remarks"]:
        lines += ["", "## Remarks", "", *(f"- {_line(remark)}" for remark in card["remarks"])]
    return "\n".join(lines) + "\n"


def write_card(card: Mapping[str, Any], path: Path) -> tuple[Path, Path]:
    """Write a card beside a file, as FILE.json and FILE.md."""
    paths = path.with_name(f"{path.name}.json"), path.with_name(f"{path.name}.md")
    write_text(paths[0], json.dumps(card, indent=2, ensure_ascii=False) + "\n")
    write_text(paths[1], as_markdown(card))
    return paths


def _line(value: object) -> str:
    """A value on one line of Markdown, of any text."""
    return printable(str(value)[:500]).replace("<", "&lt;").replace("`", "'")
