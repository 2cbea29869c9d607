"""Files that end too early, as after an interrupted download or on a full disk."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random

import torch
from PIL import features

from . import samples
from .runner import Family

family = Family(
    name="cuts",
    tried="a file cut at any length",
    holds="the file is refused with a message, or its pixels are all there and are read as they were",
    count=130,
    prepare=samples.prepare,
)

FORMATS = {
    "PNG": ".png",
    "JPEG": ".jpg",
    "GIF": ".gif",
    "BMP": ".bmp",
    "TIFF": ".tif",
    "PPM": ".ppm",
    **({"WEBP": ".webp"} if features.check("webp") else {}),
    **({"JPEG2000": ".jp2"} if features.check("jpg_2000") else {}),
    **({"AVIF": ".avif"} if features.check("avif") else {}),
}


def cut(data: bytes, random: Random) -> bytes:
    """The start of a file: of any length, or all but the last bytes, or hardly any."""
    lengths = random.randrange(len(data)), len(data) - random.randint(1, 64), random.randrange(64)
    return data[: max(0, random.choice(lengths))]


@family.kind("checkpoint")
def checkpoint(folder: Path, random: Random) -> str:
    path = folder / "last.ckpt"
    path.write_bytes(cut(samples.checkpoint(), random))
    return samples.read_checkpoint(path)


@family.kind("zip of images")
def archive(folder: Path, random: Random) -> str:
    path = folder / "photos.zip"
    images = {f"{k}.png": samples.encoded(samples.noise(random)) for k in range(3)}
    path.write_bytes(cut(samples.zip_of(images), random))
    return samples.refused(lambda: samples.opened(path))


@family.kind("dataset.json")
def labels(folder: Path, random: Random) -> str:
    images = folder / "photos"
    images.mkdir()
    pairs = [[f"{k}.png", k % 2] for k in range(4)]
    for name, _ in pairs:
        (images / name).write_bytes(samples.encoded(samples.noise(random, 8, 8)))
    (images / "dataset.json").write_bytes(cut(json.dumps({"labels": pairs}).encode(), random))
    return samples.refused(lambda: samples.opened(images, classes="labels"))


@family.kind("configuration")
def configuration(folder: Path, random: Random) -> str:
    (folder / "run.yaml").write_bytes(cut(samples.TINY.encode(), random))
    with samples.nothing_written(folder):
        return samples.refuses("train", "--config", "run.yaml", "--data.path", "missing")


def image(format: str, folder: Path, random: Random) -> str:
    whole, spoilt = folder / f"whole{FORMATS[format]}", folder / f"spoilt{FORMATS[format]}"
    whole.write_bytes(samples.encoded(samples.noise(random), format))
    before = samples.pictures(folder)[whole.name]
    spoilt.write_bytes(cut(whole.read_bytes(), random))

    def as_it_was(images: dict[str, torch.Tensor]) -> str:
        assert torch.equal(images[spoilt.name], before), "half an image was read"
        return "read as it was"

    return samples.refused(lambda: samples.pictures(folder), as_it_was)


for _format in FORMATS:
    family.kind(f"{_format} image")(lambda folder, random, format=_format: image(format, folder, random))
