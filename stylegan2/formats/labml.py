"""Checkpoints of labml.ai's StyleGAN2, which hold another architecture and are refused."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stylegan2.errors import InputError

from . import Format, Networks, formats


def recognizes(contents: Mapping[Any, Any]) -> bool:
    found = [contents, *(contents.get(name) for name in ("generator", "state_dict"))]
    return any(
        isinstance(names, Mapping) and "initial_constant" in names and "style_block.scale_noise" in names
        for names in found
    )


def load(contents: Mapping[Any, Any]) -> Networks:
    """Refuse the file.

    Raises:
        InputError: Always.
    """
    raise InputError(
        "Expected StyleGAN2's networks, found those of labml.ai. Their architecture is another one: other layers, "
        "resampling and gains, which have no place here. Train the network again here, or generate with their "
        "program."
    )


formats.register("labml")(
    Format(
        about="a checkpoint of labml.ai (refused)",
        recognizes=recognizes,
        load=load,
    )
)
