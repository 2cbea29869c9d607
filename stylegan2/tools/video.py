"""`stylegan2 video`: a video of a walk through the latent space of a network."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import partial
from typing import Literal

from tqdm import tqdm

from stylegan2.errors import InputError
from stylegan2.explore.animation import check_animation, frame_bytes, write_animation
from stylegan2.explore.audio import audio_speeds, audio_times
from stylegan2.explore.film import VISIBLE, Film, cells_of, circle_walk, interpolation_walk
from stylegan2.explore.tables import PIXELS
from stylegan2.explore.walks import checked_number
from stylegan2.files import printable, with_room
from stylegan2.kernels import fixed_weights

from .computing import RuntimeName, served, timed
from .exploring import check_count, check_truncation, listed, open_network, read_edits
from .output import counted, writing


def video(
    checkpoint: str,
    out: str = "walk.mp4",
    seeds: str = "0-5",
    frames: int = 60,
    fps: float = 30.0,
    walk: Literal["seeds", "circle"] = "seeds",
    interpolation: Literal["linear", "slerp", "cubic"] = "cubic",
    space: Literal["z", "w"] = "w",
    loop: bool = False,
    radius: float = 0.5,
    psi: float = 1.0,
    cutoff: int | None = None,
    centers: int | None = None,
    noise: Literal["const", "random", "none"] = "const",
    classes: str | None = None,
    label: str | None = None,
    grid: str = "1x1",
    size: int | None = None,
    wide: int = 1,
    audio: str | None = None,
    edit: str | None = None,
    directions: str = "directions.safetensors",
    only: str | None = None,
    device: str = "auto",
    runtime: RuntimeName = "auto",
) -> None:
    """Write a video of a walk through the latent space, such as --seeds 3,17,8 --loop --psi 0.7 --out walk.mp4.

    Every frame is computed from its number alone, and none is kept in memory.

    Args:
        checkpoint: A .ckpt file that training wrote, or a file of another program (docs/formats.md).
        out: File that ends with .mp4 (H.264, extra `video`), .webp or .gif, or a folder for PNG files.
        seeds: Numbers and ranges, such as 3,17,8 or 0-5, in the order of the walk.
        frames: Number of frames from one seed to the next, or for a turn of a circle.
        fps: Frames per second.
        walk: seeds goes from one seed to the next, circle once around the latent of a seed.
        interpolation: linear, slerp (along arcs around the mean) or cubic (a spline without sudden turns).
        space: The latent space in which the walk goes: w, or z, which the mapping network maps to w.
        loop: Return to the first seed, so that the video can be repeated without a jump. A circle always does.
        radius: Of a circle. 1 is the typical distance of latents from their mean.
        psi: Truncation. Below 1, images are more typical and vary less. 0 gives the mean image, 1 no truncation.
        cutoff: Number of rows of ws that truncation changes, from the coarsest on. null: all.
        centers: Truncate every seed towards the nearest of so many cluster centers of w. null: towards the
            mean of w, of the seed's class if there are classes.
        noise: const uses the stored noise, random draws new noise for every frame, none adds no noise.
        classes: Classes of the seeds in turn, as numbers, ranges and names, such as 0-2,cats. null: all.
        label: One label vector instead of classes, such as 0.3,0.7.
        grid: Columns x rows of images that walk at the same time, such as 3x2. Each takes an equal share of
            the seeds.
        size: Longer side of each image in pixels. The network's images are resized, which adds no detail. null:
            the network's own size, times a whole number if it is small.
        wide: Repeats the constant of the lowest resolution so many times side by side, which makes images as many
            times as wide. It suits textures and landscapes: objects appear once for each repetition.
        audio: WAV file that decides the length of the video, and moves the walk faster where it is loud or a sound
            begins. An MP4 file gets it as its sound. With --loop, --frames is the mean from one seed to the next, and
            without it the walk ends with the sound.
        edit: Moves along directions, such as smile=2.5,age=-1..1. A range changes during the video.
        directions: File of directions that `stylegan2 directions` wrote.
        only: Numbers of the frames to write, such as 30-45, which are the same as in the whole video. null: all.
        device: auto, cpu, cuda or cuda:N.
        runtime: What computes the images on a CPU: torch, onnxruntime or openvino, as in generate. auto: the fastest
            installed one, if there are more than two minutes of work.

    Raises:
        InputError: The checkpoint cannot be read, the file cannot be written, or an option is wrong.
    """
    path = check_animation(out, fps)
    numbers = listed(seeds, "--seeds")
    check_truncation(psi, cutoff, centers)
    check_count("--frames", frames, 1, 1_000_000)
    checked_number("--radius", radius, 0, "0.5")
    columns, rows = parse_grid(grid)
    speeds = None if audio is None else audio_speeds(audio, fps)
    opened = open_network(checkpoint, classes, label, device, wide)
    network = opened.network
    moves = read_edits(edit, directions, network)
    changes = noise == "random" or any(move.start != move.end for move in moves)
    is_circle = walk == "circle"
    shares = cells_of(numbers, columns * rows, 1 if is_circle or changes else 2)
    if is_circle and len(shares[0]) > 1:
        raise InputError(f"--walk circle expects one seed for each cell of --grid, found {len(shares[0])}.")
    if size is not None:
        check_count("--size", size, 1, 8192)
    width, height = frame_size(network.image_size, columns, rows, size)
    with fixed_weights():
        clusters = opened.clusters(centers)
        walks = [
            circle_walk(network, share[0], c[0], radius, space, clusters)
            if is_circle
            else interpolation_walk(network, share, c, interpolation, space, loop, clusters)
            for share, c in zip(shares, opened.label_rows(len(numbers)).split(len(shares[0])))
        ]
        times = walks[0].times(frames)
        if speeds is not None:
            times = audio_times(speeds, walks[0].duration or 1.0, walks[0].loop, frames)
        elif len(times) == 1:  # one seed, whose noise or edit changes
            times = [0.0] * frames
        film = Film(
            network=network,
            walks=walks,
            times=times,
            columns=columns,
            psi=psi,
            cutoff=cutoff,
            noise=noise,
            edits=moves,
            size=size,
        )
    chosen = range(len(film)) if only is None else listed(only, "--only")
    if only is not None and max(chosen) >= len(film):
        raise InputError(
            f"--only expects numbers below {len(film)}, the number of frames, found {printable(only)}."
        )
    film = replace(film, network=served(network, runtime, len(chosen) * len(walks)))
    what, folder = f"{len(chosen):,} frames", path.parent if path.suffix else path
    with (
        fixed_weights(),
        tqdm(desc="Frames", total=len(chosen), unit="frame") as progress,
        writing(path, progress, stays=not path.suffix),
    ):
        made = timed(film.network, map(film.frame, chosen))
        fitting = with_room(made, len(chosen), partial(frame_bytes, suffix=path.suffix), folder, what)
        sound = audio if only is None else None
        write_animation(counted(fitting, progress), path, fps, audio=sound, numbers=chosen)
    length = f"{len(chosen) / fps:.1f} s at {fps:g} per second"
    print(f"{len(chosen)} frames of {width}×{height} pixels, {length}, in {path}")
    older = 0 if path.suffix else len(list(path.glob("frame*.png"))) - len(chosen)
    if older > 0:
        print(f"note: the folder also holds {older} frames that were there before")


def frame_size(image: tuple[int, int], columns: int, rows: int, size: int | None) -> tuple[int, int]:
    """Width and height of frames with images of a height and width.

    Raises:
        InputError: They are too large.
    """
    longest = max(image)
    factor = max(1, VISIBLE // longest) if size is None else size / longest
    height, width = rows * max(1, round(image[0] * factor)), columns * max(1, round(image[1] * factor))
    if width * height > PIXELS:
        raise InputError(
            f"Expected frames of at most {PIXELS:,} pixels, found {width}×{height}. "
            "Choose a smaller --grid or --size."
        )
    return width, height


def parse_grid(text: str) -> tuple[int, int]:
    """ "3x2" as columns and rows.

    Raises:
        InputError: It is no grid of 1 to 256 images.
    """
    match = re.fullmatch(r"(\d{1,3})[x×](\d{1,3})", text)
    columns, rows = (int(match[1]), int(match[2])) if match else (0, 0)
    if not 1 <= columns * rows <= 256:
        raise InputError(
            f"--grid expects columns x rows of at most 256 images, such as 3x2, found {printable(text)}."
        )
    return columns, rows
