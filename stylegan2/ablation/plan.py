"""What is compared: the configuration as it is, and the same with one thing changed at a time."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import yaml

from stylegan2.cli import CONFIGS
from stylegan2.errors import InputError
from stylegan2.networks.scalings import Scalings

DEFAULT = "default"
"""Name of the variant that is the configuration as it is."""


@dataclass(frozen=True, kw_only=True)
class Variant:
    """A configuration laid over the base: an ablation, a value of a sweep, or what one is compared with."""

    name: str
    key: str = ""
    """The option in question, such as model.scalings.noise; "" for one that others are compared with."""
    value: str = ""
    """What the option is set to, as text."""
    overlay: dict[str, Any] = field(default_factory=dict)
    """Nested options, as in a YAML file."""
    control: str | None = None
    """Name of the variant that this one is compared with; None for one that others are compared with."""


def shipped_overlays() -> dict[str, dict[str, Any]]:
    """The overlays of configs/ablations by name: the one list of ablations."""
    return {path.stem: _read_overlay(path) for path in sorted((CONFIGS / "ablations").glob("*.yaml"))}


def ablations(names: str) -> list[Variant]:
    """The default, the ablations of a list of names, and what they are compared with.

    An overlay's first entry is the field that it switches off. If it sets more, such as the low precision
    without which a clamp does nothing, the ablation is compared with a run of these other entries alone.

    Args:
        names: "all", or comma-separated: fields of Scalings, overlays (files of configs/ablations), and paths
            of YAML files.

    Raises:
        InputError: A name is none of these, or an overlay sets nothing.
    """
    shipped = shipped_overlays()
    chosen: dict[str, dict] = {}
    for name in filter(None, (part.strip() for part in names.split(","))):
        of_field = {
            stem: overlay
            for stem, overlay in shipped.items()
            if next(leaves(overlay))[0].split(".")[-1] == name
        }
        if name == "all":
            chosen |= shipped
        elif name in shipped:
            chosen[name] = shipped[name]
        elif of_field:
            chosen |= of_field
        elif name.endswith(".yaml"):
            chosen[Path(name).stem] = _read_overlay(Path(name))
        else:
            raise InputError(
                f"--fields expects all, or names out of {', '.join(shipped)}, found {name!r}. "
                "Correct it, or give the path of a YAML file of your own."
            )
    if not chosen:
        raise InputError(f"--fields expects at least one name, found {names!r}. Try all.")

    variants = [Variant(name=DEFAULT)]
    for name, overlay in chosen.items():
        (key, value), *others = leaves(overlay)
        control = f"{name}_control" if others else DEFAULT
        if others:
            variants.append(Variant(name=control, overlay=nest(dict(others))))
        text = yaml.safe_dump(value).split("\n")[0]
        variants.append(Variant(name=name, key=key, value=text, overlay=overlay, control=control))
    return variants


def sweep(name: str, values: str) -> list[Variant]:
    """The default, and one option at each of several numbers.

    Args:
        name: A field of Scalings, or an option below `model`, such as r1.gamma.
        values: Comma-separated numbers.

    Raises:
        InputError: `values` holds something else, or fewer than two numbers.
    """
    name = name.removeprefix("model.").removeprefix("scalings.")
    key = f"model.{'scalings.' if name in {f.name for f in fields(Scalings)} else ''}{name}"
    try:
        numbers = sorted({float(value) for value in values.split(",")})
    except ValueError:
        numbers = []
    if len(numbers) < 2:
        raise InputError(f"--values expects two numbers or more, such as 0.5,0.7071,1, found {values!r}.")
    return [Variant(name=DEFAULT)] + [
        Variant(name=f"{name}={n:g}", key=key, value=f"{n:g}", overlay=nest({key: n}), control=DEFAULT)
        for n in numbers
    ]


def effective(variants: list[Variant], base: dict) -> list[Variant]:
    """The variants that change something, without those whose option has this value already.

    Raises:
        InputError: Nothing is left to compare, or an option does not exist.
    """
    kept = []
    for variant in variants:
        if variant.key:
            parent, _, last = variant.key.rpartition(".")
            options = lookup(base, parent) if parent else base
            if not isinstance(options, dict) or last not in options:
                raise InputError(
                    f"{variant.key} is no option of the configuration, so {variant.name} cannot be tried. "
                    "See the names by --help."
                )
            if _same(options[last], lookup(variant.overlay, variant.key)):
                print(f"{variant.name} is left out: {variant.key} is {options[last]} already.")
                continue
        kept.append(variant)
    if not any(variant.control for variant in kept):
        raise InputError("Nothing is left to compare. Choose other --fields, or another --config.")
    return kept


def leaves(tree: dict, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """{"a": {"b": 1}} to the pairs ("a.b", 1)."""
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


def nest(flat: dict[str, Any]) -> dict[str, Any]:
    """{"a.b": 1} to {"a": {"b": 1}}."""
    tree: dict[str, Any] = {}
    for key, value in flat.items():
        *path, last = key.split(".")
        branch = tree
        for part in path:
            branch = branch.setdefault(part, {})
        branch[last] = value
    return tree


def lookup(tree: dict, key: str) -> Any:
    """The value of a dotted key in nested options; None if there is no such key."""
    for part in key.split("."):
        tree = tree.get(part) if isinstance(tree, dict) else None
    return tree


def _same(a: object, b: object) -> bool:
    """Whether two values are one setting; numbers only as far as people write them out (0.7071 is √½)."""
    if isinstance(a, (int, float)) and isinstance(b, (int, float)):
        return math.isclose(a, b, rel_tol=1e-3)
    return a == b


def _read_overlay(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise InputError(f"Expected a YAML file at {path}, found none. Correct the path.")
    overlay = yaml.safe_load(path.read_text())
    if not isinstance(overlay, dict) or not overlay:
        raise InputError(
            f"Expected options in {path}, found none. Write what to change, as configs/ablations do."
        )
    return overlay
