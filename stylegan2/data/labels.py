"""Labels of images, from the folders that they are in or from a dataset.json."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from stylegan2.data.checking import reason
from stylegan2.data.names import alike, in_natural_order, printable
from stylegan2.data.sources import Source
from stylegan2.data.sources.shards import Shards, StoredLabels
from stylegan2.errors import InputError


@dataclass(frozen=True)
class Labels:
    """One label per image, which is a class or a vector."""

    values: Tensor
    """Class numbers, int64 (N,), or vectors, float32 (N, D). D is 0 if there are no labels."""

    class_names: Sequence[str] = ()
    """Names of the classes, in the order of their numbers. There are none for vectors."""

    @property
    def num_classes(self) -> int:
        """Width of the label that the networks get: the number of classes, or D."""
        return self.values.shape[1] if self.values.ndim == 2 else len(self.class_names)

    def __getitem__(self, rows: Tensor | Sequence[int]) -> Tensor:
        """Return the labels of rows (n,) as float32 (n, num_classes). Classes are one-hot."""
        values = self.values[torch.as_tensor(rows)]
        return values if values.ndim == 2 else F.one_hot(values, self.num_classes).float()

    def keep(self, rows: Sequence[int]) -> Labels:
        """Return the labels of these rows only. All classes remain."""
        return replace(self, values=self.values[list(rows)])


def read_labels(kind: str, source: Source, images: Sequence[str], path: str | Path) -> Labels | StoredLabels:
    """Read the labels of a data set.

    Args:
        kind: "none", "folders" or "labels", as in `DataOptions.classes`.
        source: Source of the images, which holds dataset.json if there is one.
        images: Names of the images.
        path: The user's path of the data set, for messages.

    Raises:
        InputError: The labels are missing, malformed, or do not fit the images.
    """
    if isinstance(source, Shards):
        return stored_labels(kind, source, path)
    return READERS[kind](source, images, path)


def stored_labels(kind: str, source: Shards, path: str | Path) -> Labels | StoredLabels:
    """Labels of shards, which each image brings with it."""
    if kind == "none":
        return Labels(torch.zeros(1, 0).expand(len(source.names), 0))
    if not source.about["num_classes"]:
        raise InputError(
            f"classes={kind} expects shards with labels, found none in {path}. Pack the images with "
            f"--classes {kind}, or set classes=none."
        )
    return StoredLabels(source)


def no_labels(source: Source, images: Sequence[str], path: str | Path) -> Labels:
    """Make labels of width 0."""
    return Labels(torch.zeros(len(images), 0))


def folder_labels(source: Source, images: Sequence[str], path: str | Path) -> Labels:
    """Make a class of each top-level folder, in the natural order of the folders' names: 2 before 10."""
    loose = [name for name in images if "/" not in name]
    if loose:
        raise InputError(
            f"classes=folders expects every image of {path} in a class folder, found {len(loose)} outside "
            f"({loose[0]}). Move them into a class folder, or set classes=none."
        )
    tops = [name.partition("/")[0] for name in images]
    classes = in_natural_order(set(tops))
    if len(classes) < 2:
        raise InputError(
            f"classes=folders expects two folders or more in {path}, found only {classes[0]}. Give the path of "
            "the folder that holds the class folders, or set classes=none."
        )
    number = {name: k for k, name in enumerate(classes)}
    return Labels(torch.tensor([number[top] for top in tops]), list(map(printable, classes)))


def json_labels(source: Source, images: Sequence[str], path: str | Path) -> Labels:
    """Read dataset.json, whose labels are all integers (classes) or all vectors of one length."""
    labels = _read_json(source, images, path)
    unknown = sorted(labels.keys() - set(images))
    missing = [name for name in images if name not in labels]
    for wrong, what in ((unknown, "labels of files that are not there"), (missing, "images without label")):
        if wrong:
            raise InputError(
                f"classes=labels expects one label per image, found {len(wrong)} {what} in {path} (first: "
                f"{wrong[0]}). Correct its dataset.json, whose paths are relative to its folder and use '/'."
            )
    values = [labels[name] for name in images]
    if all(type(value) is int for value in values):
        found = sorted(set(values))
        if found != list(range(len(found))):
            raise InputError(
                f"classes=labels expects classes numbered 0, 1, 2, ... without gaps, found {_short(found)} "
                f"in the dataset.json of {path}. Renumber the classes."
            )
        return Labels(torch.tensor(values), [str(k) for k in found])
    try:
        vectors = torch.tensor(values, dtype=torch.float32)
        valid = vectors.ndim == 2 and vectors.shape[1] > 0 and bool(vectors.isfinite().all())
    except Exception:  # torch raises half a dozen kinds for what is no table of numbers
        valid = False
    if not valid:
        raise InputError(
            "classes=labels expects all integers, or all lists of finite numbers of one length, found "
            f"{_short(values)} in the dataset.json of {path}. Give all labels the same form."
        )
    return Labels(vectors)


READERS: dict[str, Callable[[Source, Sequence[str], str | Path], Labels]] = {
    "none": no_labels,
    "folders": folder_labels,
    "labels": json_labels,
}


def _read_json(source: Source, images: Sequence[str], path: str | Path) -> dict[str, Any]:
    """Read the labels of dataset.json, by name of the image."""
    expected = 'classes=labels expects a top-level dataset.json, {"labels": [["folder/image.png", 3], ...]}'
    if "dataset.json" not in source.names:
        raise InputError(f"{expected}, found none in {path}. Write it, or set classes=folders or none.")
    try:
        pairs = json.loads(source.read("dataset.json"))["labels"]
        if pairs is not None:
            pairs = [(str(name), label) for name, label in pairs]
    except Exception as error:  # unreadable, no JSON, nested too deeply, or of another form
        raise InputError(
            f"{expected}, found something else in {path} ({reason(error)}). Correct it."
        ) from error
    if pairs is None:
        raise InputError(f"{expected}, found null labels in {path}. Add them, or set classes=none.")
    known, spelled = set(images), {alike(name): name for name in images}
    labels: dict[str, Any] = {}
    for name, label in pairs:
        name = name if name in known else spelled.get(alike(name), name)
        if name in labels:
            raise InputError(
                f"classes=labels expects one label per image, found two of {name} in the dataset.json of {path}: "
                f"{_short([labels[name], label])}. Keep the right one."
            )
        labels[name] = label
    return labels


def _short(values: Sequence[object]) -> str:
    return ", ".join(map(str, values[:8])) + (", ..." if len(values) > 8 else "")
