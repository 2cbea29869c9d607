"""The variants that a study compares: the configuration as it is, and the same with one change at a time."""

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
from stylegan2.yaml_files import read_yaml

DEFAULT = "default"
"""Name of the variant that is the unchanged configuration."""


@dataclass(frozen=True, kw_only=True)
class Variant:
    """Changes to the base configuration: an ablation, a value of a sweep, or a control."""

    name: str
    key: str = ""
    """The option that is tested, such as model.scalings.noise. "" for a control."""
    value: str = ""
    """The value of the option, as text."""
    overlay: dict[str, Any] = field(default_factory=dict)
    """The changed options, nested as in a YAML file."""
    control: str | None = None
    """Name of the variant that this one is compared with. None for a control."""


def shipped_overlays(folder: str = "ablations") -> dict[str, dict[str, Any]]:
    """The overlays of a folder of configs/ by name, in alphabetical order."""
    return {path.stem: _read_overlay(path) for path in sorted((CONFIGS / folder).glob("*.yaml"))}


def ablations(names: str) -> list[Variant]:
    """The default, the named ablations and their controls.

    The first option of an overlay is the tested one. If the overlay sets other options too, its control is a
    variant with only these other options. An example is the clamp, which acts only with low precision.

    Args:
        names: "all" (every file of configs/ablations), "alternatives" or "normalizations" (those of that folder of
            configs), or names with commas: fields of Scalings, files of these folders and paths of YAML files.

    Raises:
        InputError: A name is none of these, or an overlay sets no option.
    """
    shipped = shipped_overlays()
    others = {folder: shipped_overlays(folder) for folder in ("alternatives", "normalizations")}
    chosen: dict[str, dict[str, Any]] = {}
    for name in filter(None, (part.strip() for part in names.split(","))):
        of_field = {
            stem: overlay
            for stem, overlay in shipped.items()
            if next(leaves(overlay))[0].split(".")[-1] == name
        }
        if name == "all":
            chosen |= shipped
        elif name in others:
            chosen |= others[name]
        elif name in shipped:
            chosen[name] = shipped[name]
        elif of_field:
            chosen |= of_field
        elif found := next((overlays[name] for overlays in others.values() if name in overlays), None):
            chosen[name] = found
        elif name.endswith(".yaml"):
            chosen[Path(name).stem] = _read_overlay(Path(name))
        else:
            raise InputError(
                f"--fields expects all, {', '.join(others)}, or names from {', '.join(shipped)} and the files of "
                f"configs/alternatives and configs/normalizations, found {name!r}. "
                "Correct the name, or give the path of your own YAML file."
            )
    if not chosen:
        raise InputError(f"--fields expects at least one name, found {names!r}. Try all.")

    variants = [Variant(name=DEFAULT)]
    for name, overlay in chosen.items():
        (key, value), *rest = leaves(overlay)
        control = f"{name}_control" if rest else DEFAULT
        if rest:
            variants.append(Variant(name=control, overlay=nest(dict(rest))))
        text = yaml.safe_dump(value).split("\n")[0]
        variants.append(Variant(name=name, key=key, value=text, overlay=overlay, control=control))
    return variants


def sweep(name: str, values: str) -> list[Variant]:
    """The default, and one variant for each of several values of one option.

    Args:
        name: A field of Scalings, or an option below `model`, such as r1.gamma.
        values: Numbers with commas.

    Raises:
        InputError: `values` is something else, or has fewer than two different numbers.
    """
    name = name.removeprefix("model.").removeprefix("scalings.")
    key = f"model.{'scalings.' if name in {f.name for f in fields(Scalings)} else ''}{name}"
    try:
        numbers = sorted({float(value) for value in values.split(",")})
    except ValueError:
        numbers = []
    if len(numbers) < 2:
        raise InputError(
            f"--values expects two different numbers or more, found {values!r}. Try for example 0.5,0.7071,1."
        )
    return [Variant(name=DEFAULT)] + [
        Variant(name=f"{name}={n:g}", key=key, value=f"{n:g}", overlay=nest({key: n}), control=DEFAULT)
        for n in numbers
    ]


def effective(variants: list[Variant], base: dict[str, Any]) -> list[Variant]:
    """The variants that change the base configuration.

    A variant is left out, with a message, if the base configuration already has its value.

    Raises:
        InputError: No variant is left to compare, or an option does not exist.
    """
    kept = []
    for variant in variants:
        if variant.key:
            parent, _, last = variant.key.rpartition(".")
            options = lookup(base, parent) if parent else base
            if not isinstance(options, dict) or last not in options:
                raise InputError(
                    f"{variant.key} is no option of the configuration, so {variant.name} cannot run. "
                    "--help lists all options."
                )
            if _same(options[last], lookup(variant.overlay, variant.key)):
                print(f"{variant.name} is left out, because {variant.key} already is {options[last]}.")
                continue
        kept.append(variant)
    if not any(variant.control for variant in kept):
        raise InputError("Nothing is left to compare. Choose other --fields, or another --config.")
    return kept


def leaves(tree: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Pairs of dotted names and values of nested options: {"a": {"b": 1}} gives ("a.b", 1)."""
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


def nest(flat: dict[str, Any]) -> dict[str, Any]:
    """Nested options from dotted names: {"a.b": 1} gives {"a": {"b": 1}}."""
    tree: dict[str, Any] = {}
    for key, value in flat.items():
        *path, last = key.split(".")
        branch = tree
        for part in path:
            branch = branch.setdefault(part, {})
        branch[last] = value
    return tree


def lookup(tree: dict[str, Any], key: str) -> Any:
    """The value of a dotted key in nested options, or None if there is no such key."""
    found: Any = tree
    for part in key.split("."):
        found = found.get(part) if isinstance(found, dict) else None
    return found


def _same(a: object, b: object) -> bool:
    """Whether two values are the same setting. Numbers may differ by 0.1 %, so that 0.7071 counts as √½."""
    if isinstance(a, (int, float)) and isinstance(b, (int, float)):
        return math.isclose(a, b, rel_tol=1e-3)
    return a == b


def _read_overlay(path: Path) -> dict[str, Any]:
    _, overlay = read_yaml(path)
    if not overlay:
        raise InputError(
            f"Expected options in {path}, found none. Write the options to change, as in configs/ablations."
        )
    return overlay
