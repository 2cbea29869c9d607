"""`stylegan2 generate`: writes images of a checkpoint, one PNG per seed and label, and grids of them."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from itertools import chain, islice
from pathlib import Path
from typing import Literal

import torch
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from stylegan2.errors import InputError
from stylegan2.explore.centers import nearest
from stylegan2.explore.latents import latent as latent_of
from stylegan2.explore.latents import w_of
from stylegan2.files import class_table, printable, with_room
from stylegan2.images import enlarged, png_bytes, save_png, sheet, to_picture
from stylegan2.kernels import fixed_weights
from stylegan2.networks.generator import Generator

from .computing import RuntimeName, served, timed
from .exploring import check_count, check_truncation, open_network
from .labels import parse_numbers
from .latents import read_latents
from .output import counted, writable_folder, writing

PAGE = 256
"""Most images in one grid."""

PIXELS = 2**26
"""Most pixels in one grid, which take 270 MB of memory."""

READABLE = 2 * (Image.MAX_IMAGE_PIXELS or PIXELS)
"""Most pixels in a grid of the user's own size. Pillow opens no larger files."""

VISIBLE = 128
"""Smaller images are enlarged in grids to about so many pixels a side."""


def generate(
    checkpoint: str,
    out: str = "out",
    seeds: str = "0-15",
    latent: list[str] | None = None,
    psi: float = 1.0,
    cutoff: int | None = None,
    center: Literal["class", "global"] = "class",
    centers: int | None = None,
    noise: Literal["const", "random", "none"] = "const",
    classes: str | None = None,
    label: str | None = None,
    grid: str | None = None,
    scale: int | None = None,
    wide: int = 1,
    device: str = "auto",
    runtime: RuntimeName = "auto",
) -> None:
    """Generate images from a checkpoint, every seed with every class, such as --seeds 0-15 --psi 0.7 --out out.

    The image of a seed does not depend on the other seeds and classes.

    Args:
        checkpoint: A .ckpt file that training wrote, or a file of another program, such as NVIDIA's .pkl
            (docs/formats.md).
        out: Folder for the grid and for one file per seed and class, such as seed0042-class3-cats.png.
        seeds: Numbers and ranges, such as 0-15,42.
        latent: Latents instead of seeds and classes: safetensors files of `stylegan2 project` or of the page, each
            with ws and perhaps noise maps. One PNG of the same name is written for each. null: seeds.
        psi: Truncation. Below 1, images are more typical and vary less. 0 gives the mean image, 1 no truncation.
        cutoff: Number of rows of ws that truncation changes, from the coarsest on. null: all.
        center: What truncation goes towards. class uses the mean of w over the image's own class or label,
            global the running mean of w over all of them, as the official code does.
        centers: Truncate every seed towards the nearest of so many cluster centers of w, instead of `center`. null:
            no clusters.
        noise: const uses the stored noise, random draws noise from the seed, none adds no noise.
        classes: Classes of a conditional network, as numbers, ranges and names, such as 0-2,cats. null: all.
        label: One label vector instead of classes, such as 0.3,0.7,0.25. Write --label=-1,0.5 if the first
            number is negative.
        grid: Columns x rows of a grid, such as 4x4. More images fill several grids. null: chosen by the number
            of images. none: no grid.
        scale: Enlarges every pixel to a square of so many pixels a side. null: only in grids of small images.
        wide: Repeats the constant of the lowest resolution so many times side by side, which makes images as many
            times as wide. It suits textures and landscapes: objects appear once for each repetition.
        device: auto, cpu, cuda or cuda:N.
        runtime: What computes the images on a CPU. torch uses our kernels. onnxruntime and openvino need the
            extras onnx and openvino. auto is torch, except that for more than two minutes of work it measures the
            installed ones and takes the fastest that makes the same images.

    Raises:
        InputError: The checkpoint cannot be read, the folder cannot be written to, or an option is wrong or does
            not fit the checkpoint.
    """
    numbers = parse_numbers(seeds, "--seeds")
    check_truncation(psi, cutoff, centers)
    if centers is not None and (latent or center == "global"):
        other = "--latent" if latent else "--center global"
        raise InputError(f"Expected --centers or {other}, found both. Leave one out.")
    if scale is not None:
        check_count("--scale", scale, 1, PIXELS)
    opened = open_network(checkpoint, classes, label, device, wide)
    network, labels, names = opened.network, opened.labels, opened.about.get("class_names")
    latents = read_latents(latent, network) if latent else []
    count = len(latents) or sum(map(len, numbers)) * len(labels)
    zoom = scale or max(1, VISIBLE // max(network.image_size))
    height, width = (zoom * side for side in network.image_size)
    columns, rows = _page(grid, count, 1 if latents else len(labels), (height, width))
    folder = writable_folder(out)
    network = served(network, runtime, count)
    if table := class_table(names or []):
        print(f"Classes: {table}", flush=True)
    clusters = opened.clusters(centers)

    def images() -> Iterator[tuple[str, Tensor]]:
        """(name, image) of every latent, or of every seed with every class."""
        for found in latents:
            yield found.name, found.image(network, psi, cutoff, noise)
        for c in [] if latents else labels:
            w_mean = None
            if network.num_classes and center == "class" and centers is None and psi != 1:
                w_mean = network.mapping.w_mean(c.vector[None])
            for seed in chain(*numbers):
                if clusters is not None:
                    w_mean = nearest(w_of(network, latent_of(network, seed), c.vector[None]), clusters)
                image = generate_image(network, seed, c.vector, psi, cutoff, noise, w_mean)
                yield f"seed{seed:04d}{c.suffix}", image

    def size(named: tuple[str, Tensor]) -> int:
        """The bytes of an image's file, and of its part of a grid."""
        picture = to_picture(named[1])
        return png_bytes(enlarged(picture, scale or 1)) + bool(columns) * png_bytes(enlarged(picture, zoom))

    def pictures() -> Iterator[Image.Image]:
        """Write one image after the other, and yield each for the grid that it belongs to."""
        fitting = with_room(timed(network, images()), count, size, folder, f"{count:,} images")
        for name, image in counted(fitting, progress):
            picture = to_picture(image)
            save_png(enlarged(picture, scale or 1), folder / f"{name}.png")
            yield enlarged(picture, zoom)

    with (
        fixed_weights(),
        tqdm(desc="Generating", total=count, unit="image") as progress,
        writing(folder, progress),
    ):
        made = pictures()
        grids = _write_pages(made, count, columns, rows, folder)
        next(made, None)  # each picture is counted when the next one is asked for
    print(f"{count} images{grids} in {folder}")


@torch.no_grad()
def generate_image(
    network: Generator,
    seed: int,
    label: Tensor,
    psi: float = 1.0,
    cutoff: int | None = None,
    noise: Literal["const", "random", "none"] = "const",
    w_mean: Tensor | None = None,
) -> Tensor:
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
        w_mean: What truncation goes towards. None: the generator's `w_avg`.
    """
    z, parameter = latent_of(network, seed), next(network.parameters())
    with torch.random.fork_rng(devices=[parameter.device] if parameter.is_cuda else []):
        torch.manual_seed(seed)
        c = label[None].to(parameter)
        return network(z, c, psi=psi, cutoff=cutoff, noise=noise, w_mean=w_mean)[0].cpu()


def _page(text: str | None, count: int, labels: int, size: tuple[int, int]) -> tuple[int, int]:
    """Columns and rows of a grid, (0, 0) for no grid. The seeds of one label come after each other.

    Args:
        text: The option --grid.
        count: Number of images in all.
        labels: Number of labels in all.
        size: Height and width of an image in the grid.

    Raises:
        InputError: The option is no size, or larger than programs open.
    """
    height, width = size
    if height * width > PIXELS:
        raise InputError(
            f"Expected images of at most {PIXELS:,} pixels, found {width}×{height}. Choose a smaller --scale or "
            "--wide."
        )
    if text == "none":
        return 0, 0
    if text is None:
        most = max(1, min(PAGE, PIXELS // (height * width)))
        root, seeds = math.sqrt(min(count, most) * height / width), count // labels
        columns = math.ceil(root)
        if labels > 1 and seeds <= 2 * root:  # rows of whole labels
            columns = seeds * max(1, round(root / seeds))
        return columns, min(math.ceil(count / columns), max(1, most // columns))
    match = re.fullmatch(r"(\d{1,6})[x×](\d{1,6})", text)
    columns, rows = (int(match[1]), int(match[2])) if match else (0, 0)
    rows = min(rows, math.ceil(count / max(columns, 1)))
    if not columns * rows:
        raise InputError(f"--grid expects columns x rows, such as 4x4, or none, found {printable(text)}.")
    if columns * rows * height * width > READABLE:
        raise InputError(
            f"--grid {text} makes pictures of {columns * width}×{rows * height} pixels, expected at most "
            f"{READABLE:,} pixels in all. Choose a smaller grid: as many are written as the images need."
        )
    return columns, rows


def _write_pages(pictures: Iterator[Image.Image], count: int, columns: int, rows: int, folder: Path) -> str:
    """Write the grids one after the other, so that only one is in memory, and say what was written."""
    if not columns:
        for _ in pictures:
            pass
        return ""
    pages = math.ceil(count / (columns * rows))
    for page in range(1, pages + 1):
        left = min(columns * rows, count - (page - 1) * columns * rows)
        name = "grid" if pages == 1 else f"grid-{page:0{len(str(pages))}d}"
        paper = sheet(islice(pictures, left), columns, math.ceil(left / columns))
        save_png(paper, folder / f"{name}.png")
    what = "grid.png" if pages == 1 else f"{pages} grids"
    return f" and {what} ({columns}×{rows})"
