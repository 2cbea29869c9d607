"""Blending: one network of the coarse layers of one and the fine layers of another (Pinkney and Adler 2020)."""

from __future__ import annotations

import copy
from dataclasses import fields

import torch

from stylegan2.errors import InputError
from stylegan2.networks.config import GeneratorConfig
from stylegan2.networks.generator import Generator
from stylegan2.networks.scalings import Scalings

RELATED = 0.3
"""Networks with a smaller cosine between their weights have hardly been trained from the same network."""

FREE = {"w_avg_beta"}
"""Fields that may differ, because they change no image."""


def blend(coarse: Generator, fine: Generator, at: int) -> Generator:
    """The mapping and the blocks below resolution `at` of one network, with the blocks from `at` on of another.

    Both networks must have been trained from the same one, so that their features mean the same. Then layout and pose
    are those of one, and textures are those of the other.

    Raises:
        InputError: The networks differ in their configuration, or have no blocks on both sides.
    """
    if different := differing_fields(coarse, fine):
        raise InputError(
            "Expected two networks that differ only in their weights, because one was trained from the other or both "
            f"from a third one. Found different {'; '.join(different)}. Choose two networks with one ancestor."
        )
    resolutions = coarse.synthesis.resolutions
    if at not in resolutions[1:]:
        choices = ", ".join(map(str, resolutions[1:]))
        raise InputError(f"--at expects a resolution of the networks, one of {choices}, found {at}.")
    blended = copy.deepcopy(coarse)
    for resolution in resolutions[resolutions.index(at) :]:
        block = getattr(blended.synthesis, f"b{resolution}")
        block.load_state_dict(getattr(fine.synthesis, f"b{resolution}").state_dict())
    return blended


def differing_fields(a: Generator, b: Generator) -> list[str]:
    """The fields of configuration and scalings in which networks differ, such as "resolution (32 and 64)"."""
    found = []
    pairs: list[tuple[GeneratorConfig | Scalings, GeneratorConfig | Scalings]]
    pairs = [(a.config, b.config), (a.scalings, b.scalings)]
    for ours, theirs in pairs:
        for field in fields(ours):
            values = getattr(ours, field.name), getattr(theirs, field.name)
            if values[0] != values[1] and field.name not in FREE:
                found.append(f"{field.name} ({values[0]} and {values[1]})")
    return found


def kinship(a: Generator, b: Generator) -> float:
    """The cosine between the weights of the convolutions of two networks of one configuration.

    It is near 0 for networks that were initialized independently, and 1 for equal ones.
    """
    theirs = dict(b.synthesis.named_parameters())
    names = [name for name, _ in a.synthesis.named_parameters() if name.endswith("conv1.weight")]
    ours = torch.cat([a.synthesis.get_parameter(name).detach().flatten().double() for name in names])
    other = torch.cat([theirs[name].detach().flatten().double() for name in names])
    return float(torch.nn.functional.cosine_similarity(ours, other, dim=0))
