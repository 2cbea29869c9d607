"""State dictionaries with the official names. Names and shapes determine most settings.

A file holds the dictionary of a generator, or those of several networks under the names G_ema, G and D. The
official code takes each with `load_state_dict`. Files that this package writes also hold what names and shapes do
not show, as plain data under the name `settings`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from stylegan2.networks.config import DiscriminatorConfig, GeneratorConfig
from stylegan2.networks.discriminator import Discriminator
from stylegan2.networks.generator import Generator
from stylegan2.networks.scalings import Scalings
from stylegan2.ops import setup_filter

from . import Format, Networks, formats
from .building import check_standard, with_weights
from .tensors import write_tensors

FILTER = "resample_filter"

SETTINGS = "settings"
"""Key of a file's entry with the overrides of `from_official` for each network."""

HIDDEN = (
    "activation",
    "mapping_layers",
    "low_precision_blocks",
    "low_precision_dtype",
    "channel_base",
    "channel_max",
    "taps",
)
"""Fields of both configurations that a state dictionary does not show, or not exactly."""


def from_official(state_dict: Mapping[str, Tensor], **overrides: Any) -> Generator | Discriminator:
    """Build a generator or discriminator from a state dictionary with the official names.

    Args:
        state_dict: Tensors by name. It is a generator's if a name starts with "synthesis.", otherwise a
            discriminator's.
        **overrides: Settings that a state dictionary does not show. `clamp` bounds the activations of all
            blocks (default: no bound). `mapping_lr_multiplier` is 0.01 by default. A discriminator also takes
            `minibatch_group` (default 4; None is the whole batch). Other fields of the network's
            configuration are allowed too.

    Returns:
        The network on the CPU, in evaluation mode and in the type of the weights.

    Raises:
        ValueError: The names or shapes do not belong to a StyleGAN2 network, or an override is unknown.
    """
    state = {name: torch.as_tensor(value) for name, value in state_dict.items()}
    is_generator = any(name.startswith("synthesis.") for name in state)
    what = "generator" if is_generator else "discriminator"
    try:
        arguments = _generator(state) if is_generator else _discriminator(state)
    except (KeyError, ValueError, IndexError) as error:
        found = "a tensor has too few dimensions" if isinstance(error, IndexError) else f"it lacks {error}"
        raise ValueError(
            f"this is no state dictionary of an official StyleGAN2 {what}: {found}. It has "
            f"{len(state)} entries ({', '.join(list(state)[:3])}, …). Give that of a whole network."
        ) from error

    scalings: dict[str, Any] = {
        name: arguments.pop(name) for name in ("noise", "minibatch_stddev") if name in arguments
    }
    scalings |= {
        name: overrides.pop(name, default)
        for name, default in (("clamp", None), ("mapping_lr_multiplier", 0.01))
    }
    arguments |= {"taps": _taps(state)} | overrides
    weights = {name: value for name, value in state.items() if not name.endswith(FILTER)}
    try:
        if is_generator:
            g = GeneratorConfig(**arguments)
            return with_weights(Generator, g, Scalings(**scalings), weights).eval()
        d = DiscriminatorConfig(**arguments)
        return with_weights(Discriminator, d, Scalings(**scalings), weights).eval()
    except TypeError as error:
        raise ValueError(f"unknown override: {error}") from error


def from_states(
    states: Mapping[str, Mapping[str, Tensor]], settings: Mapping[str, Mapping[str, Any]]
) -> Networks:
    """Build the networks of state dictionaries under the names G_ema, G and D.

    Args:
        states: The dictionaries. There is a generator's.
        settings: Overrides of `from_official` by the same names.

    Raises:
        ValueError: See `from_official`. There is no generator, or a name holds another network.
    """
    networks = {name: from_official(state, **settings.get(name, {})) for name, state in states.items()}
    generators = [networks[name] for name in ("G_ema", "G") if name in networks]
    discriminator = networks.get("D")
    if not generators or not all(isinstance(network, Generator) for network in generators):
        raise ValueError("it has no generator under the name G_ema or G")
    if discriminator is not None and not isinstance(discriminator, Discriminator):
        raise ValueError("its D is no discriminator")
    sampling, *raw = cast(list[Generator], generators)
    return Networks(
        generator=sampling,
        raw_generator=raw[0] if raw else None,
        discriminator=discriminator,
        about={} if "G_ema" in states else {"samples_from": "generator"},
    )


def tensors_of(contents: Mapping[Any, Any]) -> dict[str, Tensor]:
    """The tensors of a dictionary that may hold other things."""
    return {str(name): value for name, value in contents.items() if isinstance(value, Tensor)}


def to_official(network: Generator | Discriminator) -> dict[str, Tensor]:
    """The state dictionary of a network under the official names, as the inverse of `from_official`.

    It has the low-pass filters, which the official modules register as buffers, in every module that has one.

    Raises:
        InputError: The network has scalings that the official code does not know.
    """
    check_standard(network, "the official names")
    taps = network.config.taps
    f = setup_filter(taps, dtype=next(network.parameters()).dtype)
    state = dict(network.state_dict())
    for name, module in network.named_modules():
        if "filter" in dict(module.named_buffers(recurse=False)):
            state[f"{name}.{FILTER}"] = f
    return state


def hidden_settings(network: Generator | Discriminator) -> dict[str, Any]:
    """What the official names and shapes do not show of a network: the overrides of `from_official`."""
    config, scalings = network.config, network.scalings
    fields = (*HIDDEN, "w_avg_beta" if isinstance(network, Generator) else "minibatch_group")
    settings = {name: getattr(config, name) for name in fields}
    settings |= {"clamp": scalings.clamp, "mapping_lr_multiplier": scalings.mapping_lr_multiplier}
    return {name: list(value) if isinstance(value, tuple) else value for name, value in settings.items()}


def _generator(state: Mapping[str, Tensor]) -> dict[str, Any]:
    resolutions = _resolutions(state, r"synthesis\.b(\d+)\.")
    last = resolutions[-1]
    images = [r for r in resolutions if f"synthesis.b{r}.torgb.weight" in state]
    skips = any(name.endswith(".skip.weight") for name in state)
    num_classes = state["mapping.embed.weight"].shape[1] if "mapping.embed.weight" in state else 0
    embedded = state["mapping.embed.weight"].shape[0] if num_classes else 0
    return {
        "resolution": last,
        "z_dim": state["mapping.fc0.weight"].shape[1] - embedded,
        "w_dim": state["synthesis.b4.conv1.affine.weight"].shape[1],
        "num_classes": num_classes,
        "img_channels": state[f"synthesis.b{last}.torgb.weight"].shape[0],
        "mapping_layers": _mapping_layers(state),
        "architecture": "resnet" if skips else "skip" if images == resolutions else "orig",
        "noise": any(name.endswith(".noise_strength") for name in state),
        **_channels({r: state[f"synthesis.b{r}.conv1.weight"].shape[0] for r in resolutions}),
    }


def _discriminator(state: Mapping[str, Tensor]) -> dict[str, Any]:
    resolutions = _resolutions(state, r"b(\d+)\.")
    last = resolutions[-1]
    labels = "mapping.embed.weight" in state
    channels = {r: state[f"b{r}.conv0.weight"].shape[0] for r in resolutions[1:]}
    channels[4] = state["b4.conv.weight"].shape[0]
    stddev_channels = state["b4.conv.weight"].shape[1] - channels[4]
    skips = any(name.endswith(".skip.weight") for name in state)
    return {
        "resolution": last,
        "num_classes": state["mapping.embed.weight"].shape[1] if labels else 0,
        "img_channels": state[f"b{last}.fromrgb.weight"].shape[1],
        "architecture": "resnet" if skips else "skip" if "b4.fromrgb.weight" in state else "orig",
        "minibatch_stddev": stddev_channels > 0,
        "minibatch_channels": max(stddev_channels, 1),
        "mapping_layers": _mapping_layers(state) if labels else 8,
        "map_dim": state["b4.out.weight"].shape[0] if labels else None,
        **_channels(channels),
    }


def _resolutions(state: Mapping[str, Tensor], pattern: str) -> list[int]:
    found = sorted({int(match[1]) for name in state if (match := re.match(pattern, name))})
    if not found or found != [4 * 2**i for i in range(len(found))]:
        raise ValueError(f"a block for every resolution from 4 up (found {found})")
    return found


def _mapping_layers(state: Mapping[str, Tensor]) -> int:
    return sum(bool(re.fullmatch(r"mapping\.fc\d+\.weight", name)) for name in state)


def _channels(channels: Mapping[int, int]) -> dict[str, int]:
    """The smallest channel_base (and channel_max) that gives these channels."""
    return {"channel_base": max(r * c for r, c in channels.items()), "channel_max": max(channels.values())}


def _taps(state: Mapping[str, Tensor]) -> tuple[float, ...]:
    """One axis of the low-pass filter, stored as 1-D or as an outer product."""
    f = next((value for name, value in state.items() if name.endswith(FILTER)), torch.tensor([1.0, 3, 3, 1]))
    if f.numel() > 10_000:
        raise ValueError(f"a low-pass filter of {f.numel()} numbers")
    taps = (f if f.ndim == 1 else f.sum(dim=0)).double()
    default = GeneratorConfig.taps
    return default if (taps * 8).tolist() == list(default) else tuple(taps.tolist())


def _is_official_generator(contents: Mapping[Any, Any]) -> bool:
    return "synthesis.b4.conv1.weight" in contents and "mapping.fc0.weight" in contents


def _recognizes(contents: Mapping[Any, Any]) -> bool:
    nested = [contents.get(name) for name in ("G_ema", "G")]
    return _is_official_generator(contents) or any(
        isinstance(state, Mapping) and _is_official_generator(state) for state in nested
    )


def _load(contents: Mapping[Any, Any]) -> Networks:
    if _is_official_generator(contents):
        states = {"G_ema": tensors_of(contents)}
    else:
        states = {name: tensors_of(contents[name]) for name in ("G_ema", "G", "D") if contents.get(name)}
    settings = contents.get(SETTINGS, {})
    networks = from_states(states, settings)
    if not settings:
        networks.remarks.append(
            "A state dictionary does not show a clamp, low-precision blocks and the mapping network's learning-rate "
            "multiplier. No clamp, full precision and 0.01 are used."
        )
    return networks


def _write(networks: Networks, path: Path) -> list[str]:
    named: dict[str, Generator | Discriminator | None] = {
        "G_ema" if networks.samples_from == "generator_ema" else "G": networks.generator,
        **({"G": networks.raw_generator} if networks.raw_generator is not None else {}),
        "D": networks.discriminator,
    }
    present = {name: network for name, network in named.items() if network is not None}
    states = {name: to_official(network) for name, network in present.items()}
    settings = {name: hidden_settings(network) for name, network in present.items()}
    write_tensors({**states, SETTINGS: settings}, path)
    return []


formats.register("official")(
    Format(
        about="state dictionaries with the official names",
        suffix=".pt",
        recognizes=_recognizes,
        load=_load,
        write=_write,
    )
)
