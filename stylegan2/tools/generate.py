"""`stylegan2 generate`: writes images of a checkpoint, one PNG per seed and all of them in a grid."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from tqdm import tqdm

from stylegan2.errors import InputError
from stylegan2.formats import load_generator
from stylegan2.images import grid as make_grid
from stylegan2.images import save_png, to_picture
from stylegan2.kernels import fixed_weights
from stylegan2.networks.generator import Generator


def generate(
    checkpoint: str,
    out: str = "out",
    seeds: str = "0-15",
    psi: float = 1.0,
    cutoff: int | None = None,
    noise: Literal["const", "random", "none"] = "const",
    classes: str | None = None,
    grid: str | None = None,
    device: str = "auto",
) -> None:
    """Generate images from a checkpoint. The image of a seed does not depend on the other seeds.

    Args:
        checkpoint: A .ckpt file that training wrote, or a file with an official state dictionary.
        out: Folder for grid.png and one seedNNNN.png per seed.
        seeds: Numbers and ranges, such as 0-15,42.
        psi: Truncation. Below 1, images are more typical and vary less. 0 gives the mean image, 1 no truncation.
        cutoff: Number of rows of ws that truncation changes, from the coarsest on. null: all.
        noise: const uses the stored noise, random draws noise from the seed, none adds no noise.
        classes: Classes of a conditional network, as numbers and ranges. The seeds use them in turn. null: all.
        grid: Columns x rows of grid.png, such as 4x4. null: about square.
        device: auto, cpu, cuda or cuda:N.

    Raises:
        InputError: The checkpoint cannot be read, or an option is wrong or does not fit it.
    """
    numbers = parse_numbers(seeds, "--seeds")
    columns, rows = _parse_grid(grid, len(numbers))
    if cutoff is not None and cutoff < 0:
        raise InputError(
            f"--cutoff expects a number of layers, 0 or more, found {cutoff}. Leave it out for all layers."
        )
    network, state = load_generator(checkpoint)
    labels = _labels(network, classes, state.get("class_names", []), len(numbers))
    network = network.to(_device(device))
    folder = Path(out)

    images = []
    with fixed_weights():
        for seed, label in tqdm(list(zip(numbers, labels)), unit="image", desc="Generating"):
            image = generate_image(network, seed, label, psi, cutoff, noise)
            save_png(to_picture(image), folder / f"seed{seed:04d}.png")
            images.append(image)
    save_png(make_grid(torch.stack(images), columns), folder / "grid.png")
    print(f"{len(images)} images and grid.png ({columns}×{rows}) in {folder}")


@torch.no_grad()
def generate_image(
    network: Generator,
    seed: int,
    label: torch.Tensor,
    psi: float = 1.0,
    cutoff: int | None = None,
    noise: Literal["const", "random", "none"] = "const",
) -> torch.Tensor:
    """The image (C, R, R) of one seed, on the CPU, usually in [-1, 1].

    The latent is the one that the official implementation draws for this seed. Images are generated one at a
    time, because convolutions round differently for other batch sizes.

    Args:
        network: The generator.
        seed: Seed of the latent and of random noise.
        label: (num_classes,).
        psi: Truncation. 1: none.
        cutoff: Number of rows of ws that truncation changes. None: all.
        noise: The noise mode of the generator.
    """
    parameter = next(network.parameters())
    z = torch.from_numpy(np.random.RandomState(seed).randn(1, network.z_dim)).to(parameter)
    with torch.random.fork_rng(devices=[parameter.device] if parameter.is_cuda else []):
        torch.manual_seed(seed)
        return network(z, label[None].to(parameter), psi=psi, cutoff=cutoff, noise=noise)[0].cpu()


def parse_numbers(text: str, option: str) -> list[int]:
    """The numbers in a text of numbers and ranges: "0-3,42" gives [0, 1, 2, 3, 42].

    Raises:
        InputError: The text is something else, or a number is 2^32 or more. The message names `option`.
    """
    numbers = []
    for part in str(text).split(","):
        match = re.fullmatch(r"\s*(\d+)(?:-(\d+))?\s*", part)
        if not match or (match[2] and int(match[2]) < int(match[1])):
            raise InputError(
                f"{option} expects numbers and ranges, such as 0-15,42, found {text!r}. Correct it."
            )
        numbers += range(int(match[1]), int(match[2] or match[1]) + 1)
    if max(numbers) >= 2**32:
        raise InputError(f"{option} expects numbers below 2^32, found {max(numbers)}. Give smaller ones.")
    return numbers


def _parse_grid(text: str | None, count: int) -> tuple[int, int]:
    if text is None:
        columns = math.ceil(math.sqrt(count))
        return columns, math.ceil(count / columns)
    match = re.fullmatch(r"(\d+)x(\d+)", text)
    columns, rows = (int(match[1]), int(match[2])) if match else (0, 0)
    if columns * rows < count:
        raise InputError(
            f"--grid expects columns x rows with room for {count} images, such as 4x4, found {text!r}."
        )
    return columns, rows


def _labels(network: Generator, classes: str | None, names: list[str], count: int) -> torch.Tensor:
    if not network.num_classes:
        if classes is not None:
            raise InputError(
                "--classes expects a conditional network, but this checkpoint has no classes. Leave --classes out."
            )
        return torch.zeros(count, 0)
    numbers = list(range(network.num_classes)) if classes is None else parse_numbers(classes, "--classes")
    if max(numbers) >= network.num_classes:
        known = ", ".join(f"{i} {name}" for i, name in enumerate(names)) or f"0 to {network.num_classes - 1}"
        raise InputError(
            f"--classes expects classes of the checkpoint ({known}), found {max(numbers)}. Choose among those."
        )
    return torch.eye(network.num_classes)[[numbers[i % len(numbers)] for i in range(count)]]


def _device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise InputError(f"--device {name} is not available on this machine: {error}. Try cpu.") from error
    return device
