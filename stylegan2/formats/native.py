"""Our own checkpoints. They hold tensors and plain data, including all settings of the networks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from torch import Tensor

from stylegan2.errors import InputError
from stylegan2.networks.config import DiscriminatorConfig, GeneratorConfig
from stylegan2.networks.discriminator import Discriminator
from stylegan2.networks.generator import Generator
from stylegan2.networks.scalings import AUTO_CLAMP, Scalings

from . import Format, Networks, formats
from .building import with_weights
from .tensors import described, read_tensors, write_tensors

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
        if checkpoint[KEY]["discriminator"] is None:
            raise InputError(
                f"Expected a checkpoint of training, found that {path} holds a generator alone, from which images "
                "can be generated. Give a checkpoint that training wrote."
            )
        configs(checkpoint[KEY])
        if not isinstance(checkpoint["state_dict"], dict):
            raise TypeError("state_dict is no dictionary")
        _check_counters(checkpoint[KEY])
    return checkpoint


def _check_counters(state: Mapping[str, Any]) -> None:
    if not all(type(state[counter]) is int for counter in ("iteration", "images")):
        raise TypeError("the counters are no integers")


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
    return {
        "generator": plain_entry(generator),
        "discriminator": plain_entry(discriminator),
        "scalings": plain_entry(scalings),
    }


def plain_entry(entry: GeneratorConfig | DiscriminatorConfig | Scalings) -> dict[str, Any]:
    """Convert one configuration to plain data."""
    return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(entry).items()}


def load(checkpoint: Mapping[str, Any]) -> Networks:
    """Load the networks from the contents of a checkpoint."""
    upgrade(checkpoint)
    state = checkpoint[KEY]
    _check_counters(state)
    return build(state, checkpoint["state_dict"])


def build(state: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Networks:
    """Build the networks that settings describe, as `settings_of` gives them, from tensors by name.

    Raises:
        ValueError: The tensors are not those of the networks.
    """
    scalings, config = Scalings(**state["scalings"]), GeneratorConfig(**state["generator"])

    def weights(network: str) -> dict[str, Tensor]:
        prefix = f"{network}."
        return {name[len(prefix) :]: t for name, t in tensors.items() if name.startswith(prefix)}

    networks = Networks(
        generator=with_weights(Generator, config, scalings, weights(state["samples_from"])),
        about=dict(state),
    )
    if state["samples_from"] == "generator_ema" and (raw := weights("generator")):
        networks.raw_generator = with_weights(Generator, config, scalings, raw)
    if (discriminator := weights("discriminator")) and state["discriminator"] is not None:
        their_config = DiscriminatorConfig(**state["discriminator"])
        networks.discriminator = with_weights(Discriminator, their_config, scalings, discriminator)
    return networks


def settings_of(networks: Networks) -> dict[str, Any]:
    """The settings of networks as plain data, for `build`.

    Raises:
        InputError: Generator and discriminator have different scalings, which our files cannot hold.
    """
    generator, discriminator = networks.generator, networks.discriminator
    scalings = generator.scalings
    if discriminator is not None:
        scalings = replace(scalings, minibatch_stddev=discriminator.scalings.minibatch_stddev)
        theirs = replace(discriminator.scalings, noise=scalings.noise)
        if discriminator.num_classes == 0:  # then it has no mapping network
            theirs = replace(theirs, mapping_lr_multiplier=scalings.mapping_lr_multiplier)
        if theirs != scalings:
            raise InputError(
                f"Expected a generator and a discriminator with the same scalings, found {scalings} and {theirs}. "
                "Our formats hold one set of scalings. Choose another format."
            )
    return {
        **plain_about(networks.about),
        "generator": plain_entry(generator.config),
        "discriminator": plain_entry(discriminator.config) if discriminator is not None else None,
        "scalings": plain_entry(scalings),
        "samples_from": networks.samples_from,
    }


def write(networks: Networks, path: Path) -> list[str]:
    """Write a checkpoint of our own format, from which images are generated. Training cannot resume from it."""
    state = {"iteration": 0, "images": 0} | settings_of(networks)
    write_tensors({"state_dict": networks.tensors(), KEY: state}, path)
    return ["The file has no state of optimizers, so that training cannot resume from it."]


def plain_about(about: Mapping[str, Any]) -> dict[str, Any]:
    """What of the information about networks is plain data and not the state of a run."""
    kept: dict[str, Any] = {
        key: about[key] for key in ("images", "iteration", "source", "license") if _is_scalar(about.get(key))
    }
    if isinstance(data := about.get("data"), Mapping):
        kept["data"] = {str(key): value for key, value in data.items() if _is_scalar(value)}
    names = about.get("class_names")
    if isinstance(names, list) and all(isinstance(name, str) for name in names):
        kept["class_names"] = list(names)
    return kept


def _is_scalar(value: object) -> bool:
    return isinstance(value, (str, int, float))


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


formats.register("native")(Format(about=ABOUT, suffix=".ckpt", recognizes=is_native, load=load, write=write))
