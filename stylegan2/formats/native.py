"""Our own checkpoints. They hold tensors and plain data, including all settings of the networks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from torch import Tensor

from stylegan2.errors import InputError
from stylegan2.networks.config import DiscriminatorConfig, GeneratorConfig
from stylegan2.networks.discriminator import Discriminator
from stylegan2.networks.generator import Generator
from stylegan2.networks.scalings import AUTO_CLAMP, Scalings

from . import Format, formats
from .tensors import described, read_tensors

KEY = "stylegan2"
"""Key of the checkpoint entry that holds the settings."""

ABOUT = "a checkpoint that training wrote"


def read(path: str | Path) -> dict[str, Any]:
    """Read a checkpoint of this package. One of version 0.1 is upgraded to the present form.

    Raises:
        InputError: The file does not exist, is damaged, or is not a checkpoint of this package.
    """
    checkpoint = read_tensors(path)
    if not is_native(checkpoint):
        raise InputError(
            f"Expected a checkpoint of this package, found that {path} is a PyTorch file of another kind. Give "
            "a file that training wrote, such as runs/NAME/checkpoints/last.ckpt."
        )
    with described(path, ABOUT):
        upgrade(checkpoint)
        configs(checkpoint[KEY])
        if not isinstance(checkpoint["state_dict"], dict):
            raise TypeError("state_dict is no dictionary")
        if not all(type(checkpoint[KEY][counter]) is int for counter in ("iteration", "images")):
            raise TypeError("the counters are no integers")
    return checkpoint


def is_native(checkpoint: Mapping[str, Any]) -> bool:
    return KEY in checkpoint


def configs(state: Mapping[str, Any]) -> tuple[GeneratorConfig, DiscriminatorConfig, Scalings]:
    """The configurations and scalings of a checkpoint's networks, from its entry `KEY`."""
    return (
        GeneratorConfig(**state["generator"]),
        DiscriminatorConfig(**state["discriminator"]),
        Scalings(**state["scalings"]),
    )


def plain(
    generator: GeneratorConfig, discriminator: DiscriminatorConfig, scalings: Scalings
) -> dict[str, dict[str, Any]]:
    """Convert configurations and scalings to plain data for a checkpoint, as the inverse of `configs`."""
    entries = {
        "generator": asdict(generator),
        "discriminator": asdict(discriminator),
        "scalings": asdict(scalings),
    }
    return {
        name: {key: list(value) if isinstance(value, tuple) else value for key, value in entry.items()}
        for name, entry in entries.items()
    }


def networks(checkpoint: Mapping[str, Any]) -> dict[str, Generator | Discriminator]:
    """The networks of a checkpoint: generator, discriminator and, if the run kept one, generator_ema."""
    upgrade(checkpoint)
    g, d, scalings = configs(checkpoint[KEY])
    state = checkpoint["state_dict"]
    found: dict[str, Generator | Discriminator] = {
        "generator": Generator(g, scalings),
        "discriminator": Discriminator(d, scalings),
    }
    if checkpoint[KEY]["samples_from"] == "generator_ema":
        found["generator_ema"] = Generator(g, scalings)
    for name, network in found.items():
        network.load_state_dict(_below(state, name))
    return found


def load_generator(checkpoint: Mapping[str, Any]) -> tuple[Generator, dict[str, Any]]:
    """Load the generator for sampling from the contents of a checkpoint, as `formats.load_generator` does."""
    upgrade(checkpoint)
    state = checkpoint[KEY]
    config, _, scalings = configs(state)
    generator = Generator(config, scalings)
    generator.load_state_dict(_below(checkpoint["state_dict"], state["samples_from"]))
    return generator, state


def _below(state_dict: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The tensors of the module of this name, by their names in it."""
    start = f"{prefix}."
    return {name[len(start) :]: value for name, value in state_dict.items() if name.startswith(start)}


def upgrade(checkpoint: Mapping[str, Any]) -> None:
    """Bring the contents of a checkpoint of version 0.1 into the present form, in place.

    Raises:
        InputError: Its clamp cannot be expressed any more.
    """
    state = checkpoint[KEY]
    if "sampler" not in state:
        return
    average, names = "average.", checkpoint["state_dict"]
    for name in [name for name in names if name.startswith(average)]:
        names["generator_ema." + name[len(average) :]] = names.pop(name)
    state["samples_from"] = "generator_ema" if state.pop("sampler") == "average" else "generator"
    g, d = state["generator"], state["discriminator"]
    scalings = g.pop("scalings")
    d.pop("scalings")
    scalings["clamp"] = upgraded_clamp(scalings["clamp"], g.pop("clamp_blocks"))
    d.pop("clamp_blocks")
    scalings["minibatch_stddev"] &= d["minibatch_channels"] > 0
    d["minibatch_channels"] = max(d["minibatch_channels"], 1)
    state["scalings"] = scalings


def keep_own(weights: dict[str, Any], own: Mapping[str, Any], prefix: str) -> None:
    """Put our tensors below a prefix into a checkpoint's, in place, if theirs have other names."""
    theirs, ours = ({name for name in names if name.startswith(prefix)} for names in (weights, own))
    if theirs != ours:
        for name in theirs:
            del weights[name]
        weights |= {name: own[name].clone() for name in ours}


def upgraded_clamp(clamp: float | None, blocks: str) -> str | float | None:
    """Translate the two options of version 0.1, a bound and the blocks that it applied to, to today's clamp.

    Raises:
        InputError: The bound applied to low-precision blocks alone and was not the default.
    """
    if clamp is None or blocks == "all":
        return clamp
    if clamp == AUTO_CLAMP:
        return "auto"
    raise InputError(
        f"Expected a clamp of {AUTO_CLAMP:g} for low-precision blocks alone, found {clamp:g}, which only "
        "version 0.1 supports. Set scalings.clamp to auto, or to a number, which applies to all blocks."
    )


formats.register("native")(Format(about=ABOUT, recognizes=is_native, load_generator=load_generator))
