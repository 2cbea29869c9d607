"""`stylegan2 project`: finds the latents whose images are most like given ones."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Literal

import torch
from PIL import UnidentifiedImageError
from torch import Tensor
from tqdm import tqdm

from stylegan2.data.decoding import decode
from stylegan2.data.pixels import to_float
from stylegan2.errors import InputError
from stylegan2.explore.animation import frame_bytes, write_animation
from stylegan2.explore.distances import Name, load_distance, psnr
from stylegan2.explore.film import fitted
from stylegan2.explore.projection import KEY, Projection, ProjectionOptions
from stylegan2.files import printable, require_room, safe_name, text_table, write_text
from stylegan2.formats.tensors import write_safetensors
from stylegan2.images import png_bytes, save_png, sheet, to_picture
from stylegan2.networks.generator import Generator

from .exploring import check_count, open_network, read_edits
from .output import writable_folder, writing

STATE = "unfinished.safetensors"
"""What an interrupted projection leaves in its folder."""

SAVE_EVERY, MOST, LENGTH = 50, 64, 120
"""Steps between two saves, most images in a batch, and frames of the video of the optimization."""


def project(
    checkpoint: str,
    image: list[str],
    out: str = "projection",
    steps: int = 500,
    space: Literal["w", "w+"] = "w",
    distance: Name = "auto",
    classes: str | None = None,
    label: str | None = None,
    edit: str | None = None,
    directions: str = "directions.safetensors",
    video: bool = True,
    seed: int = 0,
    device: str = "auto",
) -> None:
    """Find the latents whose images are most like given ones, such as --image photo.png --steps 500 --space w+.

    For each image NAME it writes NAME.png, which the network makes of the latent, NAME-strip.png (the image, the
    start, the result), NAME.safetensors (the latent and the noise) and NAME.mp4 (the optimization). projection.json
    says how near they came. A projection that was interrupted goes on if it is started again.

    Args:
        checkpoint: A .ckpt file that training wrote, or a file of another program (docs/formats.md).
        image: Files of images, such as a.png b.png, which are cropped and resized as in training. All are projected
            in one batch.
        out: Folder for the results.
        steps: Optimization steps.
        space: w finds one w for all layers, w+ one for each, which comes nearer but is less fit for edits.
        distance: What is minimized. lpips needs weights that were downloaded before, efficientnet_lite0 the extra
            `features`, and pixels compares pixels and gradients at several scales. auto: the first of these that is
            there.
        classes: Class of the images, by number or name. null: the first.
        label: One label vector instead, such as 0.3,0.7.
        edit: Moves along directions, such as smile=2.5, which NAME-edited.png shows.
        directions: File of directions that `stylegan2 directions` wrote.
        video: Write the video of the optimization, as .webp if there is no ffmpeg.
        seed: Seed of the noise that the method adds.
        device: auto, cpu, cuda or cuda:N.

    Raises:
        InputError: The checkpoint or an image cannot be read, the folder cannot be written to, or an option is wrong.
    """
    check_count("--steps", steps, 1, 1_000_000)
    check_count("--seed", seed, 0, 2**31 - 1)
    check_count("--image", len(image), 1, MOST)
    opened = open_network(checkpoint, classes, label, device)
    network = opened.network
    moves = read_edits(edit, directions, network)
    targets, digest = read_targets(image, network)
    kind, features = load_distance(distance)
    names = different_names(image)
    folder = writable_folder(out)
    options = ProjectionOptions(steps=steps, space=space, seed=seed)
    vector = opened.labels[0].vector
    about: dict[str, object] = {"images": digest, "distance": kind, "label": vector.tolist()}
    about["network"] = fingerprint(network)
    projection = Projection(
        network, targets, features, options, vector.to(targets) if network.num_classes else None
    )
    ending = ".mp4" if importlib.util.find_spec("imageio_ffmpeg") else ".webp"
    size = results_bytes(projection, ending if video else None)
    require_room(folder, size, f"the results of {len(names)} images")
    history = _optimized(projection, folder / STATE, about)
    results, distances = projection.images().cpu(), projection.distances().tolist()
    start = projection.images(projection.w_avg.expand(len(names), 1, -1)).cpu()
    quality = psnr(results, targets).tolist()
    ws = projection.ws()
    report = [
        {"image": name, "psnr": p, "distance": d, "kind": kind, "steps": steps, "space": space}
        for name, p, d in zip(names, quality, distances)
    ]
    with writing(folder):
        for number, name in enumerate(names):
            pictures = [to_picture(images[number]) for images in (targets, start, results)]
            save_png(pictures[-1], folder / f"{name}.png")
            save_png(
                sheet([fitted(picture, None) for picture in pictures], 3, 1), folder / f"{name}-strip.png"
            )
            noise = {key: value[number, 0] for key, value in projection.noises.items()}
            figures = {
                "image": name,
                "psnr": quality[number],
                "distance": distances[number],
                "kind": kind,
                "steps": steps,
            }
            write_latent(folder / f"{name}.safetensors", ws[number], noise, figures)
            if moves:
                moved = ws.clone()
                for move in moves:
                    moved = move.applied(moved)
                save_png(to_picture(projection.images(moved)[number]), folder / f"{name}-edited.png")
            if video:
                frames = (fitted(to_picture(projection.images(w)[number]), None) for w in history)
                write_animation(frames, folder / f"{name}{ending}", 30)
        write_text(folder / "projection.json", json.dumps(report, indent=1))
    (folder / STATE).unlink(missing_ok=True)
    rows = [[printable(name), f"{p:.1f} dB", f"{d:.4g}"] for name, p, d in zip(names, quality, distances)]
    print(text_table(["image", "PSNR", f"distance ({kind})"], rows))
    print(f"{len(names)} images, latents and strips in {folder}")


def _optimized(projection: Projection, state: Path, about: dict[str, object]) -> Tensor:
    """Take all steps, and return the latents (L, N, rows, w_dim) that the video shows."""
    steps = projection.options.steps
    kept = {round(k * steps / LENGTH) for k in range(LENGTH)}
    history = projection.load(state, about) if state.is_file() else projection.w.detach()[None].cpu()[:0]
    if projection.step:
        print(f"Going on after step {projection.step} of {steps}.", flush=True)
    with tqdm(desc="Projecting", total=steps, initial=projection.step, unit="step") as progress:
        while projection.step < steps:
            if projection.step in kept:
                history = torch.cat([history, projection.w.detach()[None].cpu()])
            distance = projection.advance()
            progress.set_postfix_str(f"distance {float(distance.mean()):.4g}", refresh=False)
            progress.update()
            if projection.step % SAVE_EVERY == 0:
                with writing(state):
                    projection.save(state, about, history)
    return torch.cat([history, projection.w.detach()[None].cpu()])


def results_bytes(projection: Projection, ending: str | None) -> int:
    """About how many bytes the results take, with the file that an interrupted projection leaves.

    Args:
        projection: Its targets stand for the results.
        ending: Of the videos. None: there are none.
    """
    latents = projection.ws().nbytes + sum(noise.nbytes for noise in projection.noises.values())
    state = 3 * latents + (LENGTH + 1) * projection.w.nbytes  # with Adam's two moments
    total = latents + 2 * state  # a new state is written beside the old one
    for target in projection.targets:
        picture = to_picture(target)
        shown = fitted(picture, None)
        total += 2 * png_bytes(picture) + 3 * png_bytes(shown)
        total += (LENGTH + 1) * frame_bytes(shown, ending) if ending else 0
    return total


def read_targets(paths: Sequence[str], network: Generator) -> tuple[Tensor, str]:
    """Images (N, C, H, W) in [-1, 1] of the network's size, and a checksum of them.

    Raises:
        InputError: A file is missing or is no image.
    """
    images = []
    for path in paths:
        try:
            data = Path(path).expanduser().read_bytes()
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise InputError(
                f"--image expects files of images, found {printable(path)} ({reason})."
            ) from error
        try:
            images.append(torch.from_numpy(decode(data, network.image_size, network.img_channels)))
        except UnidentifiedImageError as error:  # its text names an object in memory
            raise InputError(
                f"--image expects files of images, found that {printable(path)} is none."
            ) from error
        except Exception as error:  # of a dozen kinds
            raise InputError(
                f"--image expects files of images, found that {printable(path)} cannot be read as one ({error})."
            ) from error
    stack = torch.stack(images)
    return to_float(stack), sha256(stack.numpy().tobytes()).hexdigest()


def different_names(paths: Sequence[str]) -> list[str]:
    """Names of results, one for each path. Files of one name get numbers."""
    found: list[str] = []
    for path in paths:
        name = safe_name(Path(path).stem) or "image"
        taken = [name, *(f"{name}-{k}" for k in range(2, MOST + 2))]
        found.append(next(candidate for candidate in taken if candidate not in found))
    return found


def fingerprint(network: Generator) -> str:
    """A checksum of the weights of a network."""
    total = sha256()
    for tensor in network.state_dict().values():
        total.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return total.hexdigest()


def write_latent(path: Path, ws: Tensor, noise: dict[str, Tensor], figures: dict[str, object]) -> None:
    """Write ws (num_ws, w_dim) and noise maps (H, W) as safetensors, with figures about them as JSON."""
    tensors = {"ws": ws, **{f"noise.{name}": value for name, value in noise.items()}}
    write_safetensors(tensors, path, {KEY: json.dumps(figures)})
