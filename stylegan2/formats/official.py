"""Networks from state dictionaries with the official names. Names and shapes determine the settings."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, cast

import torch
from torch import Tensor

from stylegan2.networks.discriminator import Discriminator
from stylegan2.networks.generator import Generator
from stylegan2.networks.scalings import Scalings

from . import Format, formats

FILTER = "resample_filter"


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
    build, settings = (Generator, _generator) if is_generator else (Discriminator, _discriminator)
    try:
        arguments = settings(state)
    except (KeyError, ValueError, IndexError) as error:
        found = "a tensor has too few dimensions" if isinstance(error, IndexError) else f"it lacks {error}"
        raise ValueError(
            f"this is no state dictionary of an official StyleGAN2 {build.__name__.lower()}: {found}. It has "
            f"{len(state)} entries ({', '.join(list(state)[:3])}, …). Give that of a whole network."
        ) from error

    scalings: dict[str, Any] = {
        name: arguments.pop(name) for name in ("noise", "minibatch_stddev") if name in arguments
    }
    scalings |= {
        name: overrides.pop(name, default)
        for name, default in (("clamp", None), ("mapping_lr_multiplier", 0.01))
    }
    arguments |= {"scalings": Scalings(**scalings), "taps": _taps(state)} | overrides
    resolution = arguments.pop("resolution")
    try:
        network = build(resolution, **arguments)
    except TypeError as error:
        raise ValueError(f"unknown override: {error}") from error
    weights = {name: value for name, value in state.items() if not name.endswith(FILTER)}
    try:
        network.load_state_dict(weights)
    except RuntimeError as error:
        raise ValueError(f"the state dictionary does not fit the network it describes: {error}") from error
    return network.to(next(value.dtype for value in weights.values())).eval()


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
    return tuple((f if f.ndim == 1 else f.sum(dim=0)).double().tolist())


def _is_official_generator(contents: Mapping[str, object]) -> bool:
    return "synthesis.b4.conv1.weight" in contents and "mapping.fc0.weight" in contents


def _load_generator(contents: Mapping[str, Tensor]) -> tuple[Generator, dict[str, object]]:
    return cast(Generator, from_official(contents)), {}


formats.register("official")(
    Format(
        about="a generator's state dictionary with the official names",
        recognizes=_is_official_generator,
        load_generator=_load_generator,
    )
)
