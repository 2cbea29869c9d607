"""Small folders and zips of images for the tests of the data package."""

import json
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image

from stylegan2.data import DataOptions, ImageDataset

RED, BLUE = (255, 0, 0), (0, 0, 255)


def save(path: Path, color=RED, size=(8, 8), mode="RGB", **options) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, color).save(path, **options)
    return path


def noise(path: Path, size: int, seed: int = 0, **options) -> np.ndarray:
    """Saves a random RGB image; returns its pixels (size, size, 3)."""
    pixels = np.random.default_rng(seed).integers(0, 256, (size, size, 3), dtype=np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **options)
    return pixels


def zipped(folder: Path, prefix: str = "") -> Path:
    path = folder.with_suffix(".zip")
    with zipfile.ZipFile(path, "w") as file:
        for item in folder.rglob("*"):
            file.write(item, prefix + item.relative_to(folder).as_posix())
    return path


def write_labels(folder: Path, labels) -> None:
    (folder / "dataset.json").write_text(json.dumps({"labels": labels}), encoding="utf-8")


def images_of(path, resolution: int = 8, **options) -> ImageDataset:
    """The images of a path, not checked yet."""
    return ImageDataset(DataOptions(str(path), resolution, **options))


def make_two_classes(root: Path) -> Path:
    for k in range(3):
        noise(root / f"cats/{k}.png", 8, k)
        noise(root / f"dogs/{k}.png", 8, 10 + k)
    return root


def make_damaged(root: Path) -> Path:
    """Five readable images, classes 0..4, among a truncated png, a truncated jpg and a text called png."""
    names = [f"{k}.png" for k in range(5)]
    for k, name in enumerate(names):
        save(root / name, (k, 0, 0))
    for name in ("0a.jpg", "2a.png"):
        noise(root / name, 64)
        (root / name).write_bytes((root / name).read_bytes()[:-300])
    (root / "3a.png").write_text("not an image", encoding="utf-8")
    labels = [[name, k] for k, name in enumerate(names)]
    write_labels(root, labels + [[name, 0] for name in ("0a.jpg", "2a.png", "3a.png")])
    return root
