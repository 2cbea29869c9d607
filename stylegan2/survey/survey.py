"""The survey of a set of images: what pack and advise found in it, as counts and as lines of text."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from multiprocessing.pool import ThreadPool
from pathlib import PurePosixPath

import numpy as np
from tqdm import tqdm

from stylegan2.data import ImageDataset
from stylegan2.data.checking import reason, usable_cpus
from stylegan2.data.decoding import decode
from stylegan2.sizes import pair, text
from stylegan2.survey.duplicates import equal_files, look_alikes
from stylegan2.survey.facts import Facts, examine

EXTREME = 2.0
"""An image is extreme if its aspect ratio is that many times the wanted one, or that part of it."""

Outcome = Facts | str
"""What became of a file: its facts, or why it cannot be read."""


@dataclass(frozen=True)
class Survey:
    """The facts about the images of a data set, and what was passed over.

    Args:
        dataset: The data set as it was opened, with the unreadable files.
        outcomes: For each of its images the facts, or why it cannot be read.
    """

    dataset: ImageDataset
    outcomes: Sequence[Outcome]

    @classmethod
    def of(cls, dataset: ImageDataset, progress: bool = True) -> Survey:
        """Look at every file of a data set, on all cores. Images are decoded at 64² for it."""

        def look_at(row: int) -> Outcome:
            name = dataset.names[row]
            try:
                data = dataset.source.read(name)
                return examine(name, data, decode(data, 64, 3, dataset.options.max_pixels))
            except Exception as error:  # PIL and zipfile raise a dozen kinds for damaged files
                return reason(error)

        rows = range(dataset.num_images)
        title = f"Reading {dataset.options.path}"
        with ThreadPool(usable_cpus()) as pool:
            found = pool.imap(look_at, rows, chunksize=8)
            bar = tqdm(found, title, len(rows), unit="image", disable=not progress, leave=False)
            return cls(dataset, list(bar))

    @cached_property
    def names(self) -> list[str]:
        """The names of the images that can be read."""
        return [name for name, one in zip(self.dataset.names, self.outcomes) if isinstance(one, Facts)]

    @cached_property
    def facts(self) -> list[Facts]:
        """Their facts, in the same order."""
        return [one for one in self.outcomes if isinstance(one, Facts)]

    @cached_property
    def unreadable(self) -> dict[str, str]:
        """Names of the images that cannot be read, with the reasons."""
        return {name: one for name, one in zip(self.dataset.names, self.outcomes) if isinstance(one, str)}

    @cached_property
    def passed_over(self) -> dict[str, list[str]]:
        """What is no image of the set, by reason: the names of files and folders."""
        images, source = set(self.dataset.names), self.dataset.source
        found: dict[str, list[str]] = {}
        for name in source.names:
            if name not in images and name != "dataset.json":
                kind = PurePosixPath(name).suffix.lower()
                found.setdefault(
                    f"files of another type, {kind}" if kind else "files without extension", []
                ).append(name)
        by_name: Mapping[str, str] = getattr(source, "left_out", {}) | {
            name: f"folders that cannot be read: {why}"
            for name, why in getattr(source, "unreadable", {}).items()
        }
        for name, why in by_name.items():
            found.setdefault(why, []).append(name or ".")
        if hidden := list(getattr(source, "hidden", [])):
            found["hidden, or put there by a system"] = hidden
        return found

    @cached_property
    def equal(self) -> list[list[int]]:
        """Groups of rows of `facts` whose files are equal."""
        return equal_files(self.facts)

    @cached_property
    def alike(self) -> list[list[int]]:
        """Groups of rows of `facts` that look alike though their files differ."""
        return look_alikes(self.facts)

    @property
    def modes(self) -> Counter[str]:
        return Counter(fact.mode for fact in self.facts)

    @property
    def sizes(self) -> Counter[tuple[int, int]]:
        """How many images have which (height, width)."""
        return Counter((fact.height, fact.width) for fact in self.facts)

    @cached_property
    def oddities(self) -> dict[str, list[int]]:
        """Rows of `facts`, by what is unusual about the file."""
        found: dict[str, list[int]] = {}
        for row, fact in enumerate(self.facts):
            for oddity in fact.oddities:
                found.setdefault(oddity, []).append(row)
        return found

    @property
    def classes(self) -> dict[str, int]:
        """How many images have which class. Without named classes, it is empty."""
        names = self.dataset.class_names
        if not names:
            return {}
        rows = [row for row, one in enumerate(self.outcomes) if isinstance(one, Facts)]
        counts = self.dataset.labels(rows).sum(0).int().tolist()
        return dict(zip(names, counts))

    def enlarged(self, size: int | tuple[int, int]) -> list[int]:
        """Rows of `facts` whose images have fewer pixels than `size` along a side, the smallest first."""
        height, width = pair(size)
        factors = {row: min(f.width / width, f.height / height) for row, f in enumerate(self.facts)}
        return sorted((row for row, factor in factors.items() if factor < 1), key=factors.__getitem__)

    def extreme(self, size: int | tuple[int, int]) -> list[int]:
        """Rows of `facts` whose aspect ratio is at least twice that of `size` or at most half of it, worst first."""
        height, width = pair(size)
        off = {row: abs(np.log(f.aspect * height / width)) for row, f in enumerate(self.facts)}
        return sorted((r for r, o in off.items() if o >= np.log(EXTREME)), key=lambda row: -off[row])

    def lines(self, size: int | tuple[int, int] | None = None) -> list[tuple[str, str]]:
        """What was found, as pairs of a title and a text. With `size`, also what does not fit it."""
        found = [("Images", f"{len(self.facts):,}")]
        if self.unreadable:
            found.append(("Unreadable", f"{len(self.unreadable):,}: {_counts(Counter(self.reasons))}"))
        passed = Counter({why: len(names) for why, names in self.passed_over.items()})
        found.append(("Passed over", f"{passed.total():,}: {_counts(passed)}" if passed else "nothing"))
        found += [("Modes", _counts(self.modes)), ("Sizes", self.size_range())]
        if self.classes:
            found.append(("Classes", f"{len(self.classes):,}: {_counts(Counter(self.classes))}"))
        copies = sum(len(rows) - 1 for rows in self.equal)
        near = sum(len(rows) - 1 for rows in self.alike)
        found.append(("Duplicates", f"{copies:,} files equal another one, {near:,} look like another one"))
        if self.oddities:
            odd = Counter({oddity: len(rows) for oddity, rows in self.oddities.items()})
            found.append(("Odd files", _counts(odd)))
        if size is not None:
            found.append(
                (f"At {text(size)}", f"{len(self.enlarged(size)):,} would be enlarged, "
                 f"{len(self.extreme(size)):,} have an extreme aspect ratio")
            )  # fmt: skip
        return found

    @property
    def reasons(self) -> list[str]:
        """Why files cannot be read, with numbers left out so that like reasons count together."""
        return [without_numbers(why) for why in self.unreadable.values()]

    def size_range(self) -> str:
        """The sizes in a line: one, or quantiles of the shorter side and of the aspect ratio."""
        if not self.facts:
            return "none"
        if len(self.sizes) == 1:
            return f"all {text(next(iter(self.sizes)))}"
        sides = [min(f.height, f.width) for f in self.facts]
        low, middle, high = np.quantile(sides, [0.05, 0.5, 0.95])
        wide = np.quantile([f.aspect for f in self.facts], [0.05, 0.5, 0.95])
        return (
            f"{len(self.sizes):,} different; shorter side {min(sides):,} to {max(sides):,} pixels, 90 % of them "
            f"{low:,.0f} to {high:,.0f}, median {middle:,.0f}; width / height {wide[1]:.2f}, 90 % of them "
            f"{wide[0]:.2f} to {wide[2]:.2f}"
        )


def without_numbers(why: str) -> str:
    """A reason without the numbers and addresses in it."""
    words = re.sub(r"<.*?>|\S*\d\S*", " ", why).split()
    return " ".join(words) or why


def _counts(counter: Counter[str], limit: int = 8) -> str:
    """The most frequent entries, as "5 RGB, 2 gray, ... and 3 more kinds"."""
    shown = [f"{count:,} {name}" for name, count in counter.most_common(limit)]
    more = [f"and {len(counter) - limit:,} more kinds"] if len(counter) > limit else []
    return ", ".join([*shown, *more])
