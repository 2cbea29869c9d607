"""The generator as a program of `torch.export`, which PyTorch runs without this package."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from stylegan2.files import replacing

from . import Format, Networks, formats
from .sampler import Sampler, lost


def write(networks: Networks, path: Path) -> list[str]:
    """Write a program (z, psi[, c]) -> images for any batch, with the stored noise."""
    sampler = Sampler(networks.generator)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.export.export(
            sampler, tuple(sampler.examples()), dynamic_shapes=sampler.dynamic_shapes()
        )
        with replacing(path) as temporary, temporary.open("wb") as file:
            torch.export.save(program, file)
    return lost(networks.generator)


def run(path: Path) -> Callable[..., Tensor]:
    """Load a program that this package wrote, as a function (z, psi[, c]) -> images."""
    with path.open("rb") as file:
        module = torch.export.load(file).module()

    def sample(z: Tensor, psi: float, c: Tensor | None = None) -> Tensor:
        images: Tensor = module(z, torch.tensor(psi), *([] if c is None else [c]))
        return images

    return sample


formats.register("export")(
    Format(
        about="a program of torch.export",
        suffix=".pt2",
        write=write,
        run=run,
    )
)
