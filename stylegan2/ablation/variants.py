"""What is compared: the configuration as it is, and the same with one thing changed."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import yaml

from stylegan2.cli import CONFIGS
from stylegan2.errors import InputError
from stylegan2.networks.scalings import Scalings

DEFAULT = "default"
OVERLAYS = CONFIGS / "ablations"


@dataclass(frozen=True, kw_only=True)
class Variant:
    """A configuration laid over the base: an ablation, a value of a sweep, or what one is compared with."""

    name: str
    key: str
    """The option in question, such as model.scalings.noise; "" for one that is only compared with."""
    value: str
    """What it is set to, to read."""
    overlay: dict
    """Nested options, as in a YAML file."""
    control: str | None
    """Name of the variant it is compared with; None for one that is only compared with."""


def default() -> Variant:
    return Variant(name=DEFAULT, key="", value="", overlay={}, control=None)


def ablations(names: str) -> list[Variant]:
    """The default, the ablations of a list of names, and what they are compared with.

    An overlay's first entry is the field switched off. If it sets more, such as the low precision without
    which a clamp does nothing, the ablation is compared with a run of these circumstances alone.

    Args:
        names: "all", or comma-separated: scalings' names, overlays' (files of configs/ablations), and paths
            of YAML files.

    Raises:
        InputError: A name of nothing, or an overlay that sets nothing.
    """
    shipped = {path.stem: path for path in sorted(OVERLAYS.glob("*.yaml"))}
    overlays = {stem: _load(path) for stem, path in shipped.items()}
    found: dict[str, dict] = {}
    for name in filter(None, (part.strip() for part in names.split(","))):
        of_field = {s: o for s, o in overlays.items() if next(_leaves(o))[0].split(".")[-1] == name}
        if name == "all":
            found |= overlays
        elif name in overlays:
            found[name] = overlays[name]
        elif of_field:
            found |= of_field
        elif name.endswith(".yaml"):
            found[Path(name).stem] = _load(Path(name))
        else:
            raise InputError(
                f"--fields expects all, or names out of {', '.join(overlays)}, found {name!r}. "
                "Correct it, or give the path of a YAML file of your own."
            )
    if not found:
        raise InputError(f"--fields expects at least one name, found {names!r}. Try all.")

    variants = [default()]
    for name, overlay in found.items():
        (key, value), *circumstances = _leaves(overlay)
        control = DEFAULT
        if circumstances:
            control = f"{name}_control"
            variants.append(
                Variant(name=control, key="", value="", overlay=nest(dict(circumstances)), control=None)
            )
        value = yaml.safe_dump(value).split("\n")[0]
        variants.append(Variant(name=name, key=key, value=value, overlay=overlay, control=control))
    return variants


def sweep(field: str, values: str) -> list[Variant]:
    """The default, and the field at each of some numbers.

    Args:
        field: A name out of Scalings, or an option below `model`, such as r1.gamma.
        values: Comma-separated numbers.

    Raises:
        InputError: values are no numbers, or fewer than two.
    """
    name = field.removeprefix("model.").removeprefix("scalings.")
    key = f"model.{'scalings.' if name in {f.name for f in fields(Scalings)} else ''}{name}"
    try:
        numbers = sorted({float(value) for value in values.split(",")})
    except ValueError:
        numbers = []
    if len(numbers) < 2:
        raise InputError(f"--values expects two numbers or more, such as 0.5,0.7071,1, found {values!r}.")
    return [
        default(),
        *(
            Variant(name=f"{name}={n:g}", key=key, value=f"{n:g}", overlay=nest({key: n}), control=DEFAULT)
            for n in numbers
        ),
    ]


def nest(flat: dict[str, object]) -> dict:
    """{"a.b": 1} to {"a": {"b": 1}}."""
    tree: dict = {}
    for key, value in flat.items():
        *path, last = key.split(".")
        branch = tree
        for part in path:
            branch = branch.setdefault(part, {})
        branch[last] = value
    return tree


def lookup(config: dict, key: str) -> object:
    """The value of a dotted key in nested options; None if a part of the path is not there."""
    for part in key.split("."):
        config = config.get(part) if isinstance(config, dict) else None
    return config


def same(a: object, b: object) -> bool:
    """Whether two values are one setting; numbers as far as people write them out (0.7071 is √½)."""
    if isinstance(a, (int, float)) and isinstance(b, (int, float)):
        return math.isclose(a, b, rel_tol=1e-3)
    return a == b


def tested(variants: Sequence[Variant]) -> list[Variant]:
    """Those that are compared with another."""
    return [variant for variant in variants if variant.control]


def _load(path: Path) -> dict:
    if not path.is_file():
        raise InputError(f"Expected a YAML file at {path}, found none. Correct the path.")
    overlay = yaml.safe_load(path.read_text())
    if not isinstance(overlay, dict) or not overlay:
        raise InputError(f"Expected options in {path}, found none. Write what to change, as in {OVERLAYS}.")
    return overlay


def _leaves(tree: dict, prefix: str = "") -> Iterator[tuple[str, object]]:
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value
