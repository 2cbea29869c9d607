"""Our own checkpoints: plain data and tensors, which name every setting of the networks they hold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from stylegan2.errors import InputError
from stylegan2.networks.config import DiscriminatorConfig, GeneratorConfig
from stylegan2.networks.generator import Generator
from stylegan2.networks.scalings import AUTO_CLAMP, Scalings

from . import Format, formats
from .tensors import described, read_tensors

KEY = "stylegan2"
"""The entry of a checkpoint that says what it holds."""

ABOUT = "a checkpoint that training wrote"


def read(path: str | Path) -> dict[str, Any]:
    """A checkpoint of this package, in its present form.

    Raises:
        InputError: No such file, or a damaged one, or not a checkpoint of this package.
    """
    checkpoint = read_tensors(path)
    if not is_native(checkpoint):
        raise InputError(
            f"{path} is a PyTorch file, but not a checkpoint of this package. Give a file that training "
            "wrote, such as runs/NAME/checkpoints/last.ckpt."
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
    """What the networks of a checkpoint were built from: `state` is its entry `KEY`."""
    return (
        GeneratorConfig(**state["generator"]),
        DiscriminatorConfig(**state["discriminator"]),
        Scalings(**state["scalings"]),
    )


def plain(
    generator: GeneratorConfig, discriminator: DiscriminatorConfig, scalings: Scalings
) -> dict[str, dict[str, Any]]:
    """The inverse of `configs`: plain data for a checkpoint."""
    entries = {
        "generator": asdict(generator),
        "discriminator": asdict(discriminator),
        "scalings": asdict(scalings),
    }
    return {
        name: {key: list(value) if isinstance(value, tuple) else value for key, value in entry.items()}
        for name, entry in entries.items()
    }


def load_generator(checkpoint: Mapping[str, Any]) -> tuple[Generator, dict[str, Any]]:
    """As `formats.load_generator`, from a checkpoint's contents."""
    upgrade(checkpoint)
    state = checkpoint[KEY]
    config, _, scalings = configs(state)
    generator, prefix = Generator(config, scalings), state["samples_from"] + "."
    weights = {k[len(prefix) :]: v for k, v in checkpoint["state_dict"].items() if k.startswith(prefix)}
    generator.load_state_dict(weights)
    return generator, state


def upgrade(checkpoint: Mapping[str, Any]) -> None:
    """Bring the contents of a checkpoint of version 0.1 into the present form, in place."""
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
    scalings["clamp"] = clamp_since_0_2(scalings["clamp"], g.pop("clamp_blocks"))
    d.pop("clamp_blocks")
    scalings["minibatch_stddev"] &= d["minibatch_channels"] > 0
    d["minibatch_channels"] = max(d["minibatch_channels"], 1)
    state["scalings"] = scalings


def clamp_since_0_2(clamp: float | None, blocks: str) -> str | float | None:
    """Version 0.1 had a number, and a second option for the blocks that it applied to.

    Raises:
        InputError: A number of one's own for low-precision blocks alone, which can be said no more.
    """
    if clamp is None or blocks == "all":
        return clamp
    if clamp == AUTO_CLAMP:
        return "auto"
    raise InputError(
        f"Expected a clamp of {AUTO_CLAMP:g} in low-precision blocks, found {clamp:g}, as only version 0.1 "
        "could have it. Set scalings.clamp to auto, or to a number for all blocks."
    )


formats.register("native")(Format(about=ABOUT, recognizes=is_native, load_generator=load_generator))
