"""Checkpoints of lucidrains/stylegan2-pytorch, which hold another architecture and are refused."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stylegan2.errors import InputError

from . import Format, Networks, formats


def recognizes(contents: Mapping[Any, Any]) -> bool:
    networks = contents.get("GAN")
    names = networks if isinstance(networks, Mapping) else contents
    return any(f"{network}.blocks.0.to_style1.weight" in names for network in ("G", "GE"))


def load(contents: Mapping[Any, Any]) -> Networks:
    """Refuse the file.

    Raises:
        InputError: Always.
    """
    raise InputError(
        "Expected StyleGAN2's networks, found those of lucidrains/stylegan2-pytorch. Their architecture is another "
        "one: other layers, widths and noise inputs, which have no place here. Train the network again here, or "
        "generate with their program."
    )


formats.register("lucidrains")(
    Format(
        about="a checkpoint of lucidrains/stylegan2-pytorch (refused)",
        recognizes=recognizes,
        load=load,
    )
)
