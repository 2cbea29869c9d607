"""What the images suggest: size, crop, classes, mirroring and augmentation."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from stylegan2.data.labels import Labels, read_labels
from stylegan2.errors import InputError
from stylegan2.sizes import BASES, pair, side, text
from stylegan2.survey import Survey

Size = int | tuple[int, int]

NOT_ENLARGED = 0.9
"""Share of the images that the suggested size does not enlarge."""

ONE_SHAPE = 0.8
"""Share of the images whose aspect ratio must be within a tenth of the median for a size that is not square."""

OBLONG = 1.15
"""Ratio of the sides from which on a size that is not square is worth it."""

LOST = 0.25
"""Median share of an image's area that cropping may cut off before padding is suggested."""

PER_CLASS = 20
"""Images that the smallest class must have."""

FEW = 20_000
"""Images below which D overfits without augmentation (ADA figure 1 and §4.1)."""

LEAST = 8
"""The smallest resolution of the discriminator."""


@dataclass(frozen=True)
class Advice:
    """A piece of advice: a subject, the answer in a word, its reason, and the options of training that follow."""

    subject: str
    answer: str
    reason: str
    options: dict[str, str] = field(default_factory=dict)


def suggested_size(survey: Survey, most: float) -> tuple[Size, Advice]:
    """The largest size that the networks can have, that this machine can train, and that enlarges few images.

    Args:
        survey: The images, at least one.
        most: The largest side of a square, or √(H·W), that this machine can train.
    """
    sizes = np.array([(fact.height, fact.width) for fact in survey.facts], dtype=float)
    logs = np.log(sizes[:, 1] / sizes[:, 0])
    middle = float(np.median(logs))
    alike = float((np.abs(logs - middle) < math.log(1.1)).mean())
    base = (1, 1)
    if alike >= ONE_SHAPE and abs(middle) >= math.log(OBLONG):
        bases = [(a, b) for a in BASES for b in BASES]
        base = min(bases, key=lambda ab: (round(abs(math.log(ab[1] / ab[0]) - middle), 1), ab[0] * ab[1]))
    factors = np.minimum(sizes[:, 0] / base[0], sizes[:, 1] / base[1])
    enough = float(np.quantile(factors, 1 - NOT_ENLARGED, method="higher"))
    units = [1 << k for k in range(11) if LEAST <= side(_times(base, 1 << k)) <= 1024]
    of_data = max((unit for unit in units if unit <= enough), default=units[0])
    unit = max((u for u in units if u <= of_data and side(_times(base, u)) <= most), default=units[0])
    size = _times(base, unit)
    shape = (
        f"{alike:.0%} of the images have about the same aspect ratio"
        if base != (1, 1)
        else "The aspect ratios vary" if alike < ONE_SHAPE else "Most images are about square"
    )  # fmt: skip
    small = len(survey.enlarged(size)) / len(survey.facts)
    why = f"{shape}. At this size {small:.0%} of them are enlarged."
    if unit < of_data:
        why += f" The images are large enough for {text(_times(base, of_data))}, this machine is not."
    written = ",".join(map(str, pair(size))) if isinstance(size, tuple) else str(size)
    return size, Advice("Resolution", text(size), why, {"data.resolution": written})


def crop(survey: Survey, size: Size) -> Advice:
    """Crop or pad, by what cropping would cut off."""
    height, width = pair(size)
    ratios = np.array([fact.aspect for fact in survey.facts]) * height / width
    lost = 1 - np.minimum(ratios, 1 / ratios)
    middle, worst = np.quantile(lost, [0.5, 0.95])
    answer = "pad" if middle > LOST else "center"
    reason = (
        f"Cropping cuts off {middle:.0%} of an image in the median, and {worst:.0%} of the worst twentieth."
    )
    if answer == "pad":
        reason += " Padding keeps all of it, but G learns to make the margins too."
    return Advice("Crop", answer, reason, {"data.crop": answer})


def classes(survey: Survey) -> Advice:
    """Whether dataset.json or the folders make classes with enough images each."""
    dataset = survey.dataset
    rows = [row for row, name in enumerate(dataset.names) if name not in survey.unreadable]
    for kind in ("labels", "folders"):
        if kind == "labels" and "dataset.json" not in dataset.source.names:
            continue
        try:
            labels = read_labels(kind, dataset.source, dataset.names, dataset.options.path).keep(rows)
        except InputError as error:
            why = str(error)
            continue
        return _of_labels(kind, labels)
    return Advice("Classes", "none", why, {"data.classes": "none"})


def _of_labels(kind: str, labels: Labels) -> Advice:
    if not labels.class_names:
        return Advice(
            "Classes",
            kind,
            f"dataset.json has vectors of length {labels.num_classes}.",
            {"data.classes": kind},
        )
    counts = np.bincount(labels.values.numpy(), minlength=labels.num_classes)
    found = f"{len(counts)} classes with {counts.min():,} to {counts.max():,} images"
    if counts.min() < PER_CLASS:
        reason = f"{found}. G would learn little of a class of fewer than {PER_CLASS}."
        return Advice("Classes", "none", reason, {"data.classes": "none"})
    reason = f"{found}. You can then generate a class by its name."
    if kind == "folders":
        reason += " If the folders are no kinds of images but dates or parts, set none."
    return Advice("Classes", kind, reason, {"data.classes": kind})


def mirror() -> Advice:
    """No mirroring, since nothing in the pixels tells whether it is right."""
    return Advice(
        "Mirror",
        "ask yourself",
        "--data.mirror true doubles the images. Nobody but you knows whether a mirrored image is still right: it is "
        "for most landscapes and faces, and not for text, clocks, flags, left hands or medical images. G would "
        "make mirrored ones too.",
    )


def augmentation(images: int) -> Advice:
    """Adaptive augmentation for small sets."""
    if images >= FEW:
        reason = f"{images:,} images are {FEW:,} or more, with which D overfits late or not at all."
        return Advice("Augment", "none", reason, {"model.augment": "none"})
    reason = (
        f"With {images:,} images, fewer than about {FEW:,}, D learns them by heart unless they are augmented."
    )
    return Advice("Augment", "ada", reason, {"model.augment": "ada"})


def duplicates(survey: Survey) -> Advice:
    """Whether copies outweigh other images."""
    copies = sum(len(rows) - 1 for rows in survey.equal)
    near = sum(len(rows) - 1 for rows in survey.alike)
    if not copies and not near:
        return Advice("Duplicates", "none found", "No image is seen more often than others.")
    return Advice(
        "Duplicates",
        f"{copies + near:,}",
        f"{copies:,} files equal another one and {near:,} look like another one. G makes what it sees more often "
        "more often. stylegan2 pack shows them on a page.",
    )


def _times(base: tuple[int, int], unit: int) -> Size:
    return unit if base == (1, 1) else (base[0] * unit, base[1] * unit)
