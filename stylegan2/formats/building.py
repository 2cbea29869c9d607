"""Networks from a configuration and tensors by name, with nothing allocated before both are known to fit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, TypeVar

import torch
from torch import Tensor

from stylegan2.errors import InputError
from stylegan2.networks.discriminator import Discriminator
from stylegan2.networks.generator import Generator
from stylegan2.networks.initialization import undrawn
from stylegan2.networks.normalization.options import NormalizationOptions
from stylegan2.networks.scalings import Scalings

N = TypeVar("N", Generator, Discriminator)

SHOWN = 3
"""Most names in a message."""


def with_weights(kind: type[N], config: Any, scalings: Scalings, weights: Mapping[str, Tensor]) -> N:
    """Build a network with these parameters and buffers, in float64 if one of them is, otherwise in float32.

    The network is built without memory at first, so that settings which ask for more than the tensors cost
    nothing.

    Raises:
        ValueError: Names or shapes are not those of the network.
    """
    _check_plain(config)
    _check_plain(scalings)
    if config.mapping_layers > len(weights):
        raise ValueError(
            f"the settings have {config.mapping_layers} mapping layers, and {len(weights)} tensors"
        )
    with undrawn():
        with torch.device("meta"):
            expected = {name: tuple(t.shape) for name, t in kind(config, scalings).state_dict().items()}
        found = {name: tuple(t.shape) for name, t in weights.items() if isinstance(t, Tensor)}
        if missing := sorted(expected.keys() - found.keys()):
            raise ValueError(f"it lacks {_names(missing)} of a {kind.__name__.lower()} with its settings")
        if unknown := sorted(found.keys() - expected.keys()):
            raise ValueError(f"it has {_names(unknown)}, unlike a {kind.__name__.lower()} with its settings")
        for name, shape in expected.items():
            if found[name] != shape:
                raise ValueError(f"{name} has the shape {found[name]}, expected {shape} by its settings")
        network: N = kind(config, scalings)
    is_double = any(t.dtype == torch.float64 for t in weights.values())
    network.to(torch.float64 if is_double else torch.float32)
    network.load_state_dict(dict(weights))
    return network


def check_standard(network: Generator | Discriminator, what: str) -> None:
    """Check that a network is square and has no other scalings than other implementations can set.

    Args:
        network: The network.
        what: The format that shall hold it, for the message.

    Raises:
        InputError: It is not, or has.
    """
    scalings, config = network.scalings, network.config
    free = ("clamp", "mapping_lr_multiplier", "noise", "minibatch_stddev", "style_bias_init")
    default = Scalings(lazy_regularization_correction=scalings.lazy_regularization_correction)
    default = replace(default, **{name: getattr(scalings, name) for name in free})
    changed = [name for name, value in vars(default).items() if value != getattr(scalings, name)]
    if config.base != (4, 4):
        changed.append("base")
    if config.normalization not in (None, "none", "demodulation") or config.weight_normalization != "none":
        changed.append("normalization")
    if changed:
        raise InputError(
            f"Expected StyleGAN2's own scalings and square images for {what}, found another "
            f"{' and '.join(changed)}. Write it as safetensors, which holds all settings."
        )


def _check_plain(settings: object) -> None:
    """Raise `ValueError` for a setting that no network has. A file can hold a few lines that stand for billions."""
    for name, value in vars(settings).items():
        if isinstance(value, NormalizationOptions):
            _check_plain(value)
            continue
        items = value if isinstance(value, tuple) else (value,)
        if len(items) > 64 or not all(isinstance(item, (str, int, float, type(None))) for item in items):
            raise ValueError(f"the setting {name} is no plain value")


def _names(names: list[str]) -> str:
    return ", ".join(name[:80] for name in names[:SHOWN]) + (", …" if len(names) > SHOWN else "")
