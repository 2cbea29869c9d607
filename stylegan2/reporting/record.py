"""What the folder of a run holds: its numbers, its sample grids, its configuration, and how far it is."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from stylegan2.errors import InputError
from stylegan2.files import printable, read_csv


@dataclass(frozen=True)
class RunRecord:
    """A run, as it stands in its folder."""

    folder: Path
    columns: Mapping[str, list[float]]
    """The columns of metrics.csv by name, each with one number per row. Cells without a number are NaN."""

    grids: Mapping[float, Path]
    """Sample grids by the thousands of images at which they were drawn, in this order."""

    reals: Path | None
    """A grid of training images."""

    config: Mapping[str, Any]
    """The options of the run by their full names, such as model.r1.gamma."""

    written: float
    """When metrics.csv was written last, in seconds since 1970."""

    owner: str
    """The process that trains or trained it, such as "process 17 on computer"."""

    @property
    def name(self) -> str:
        return self.folder.resolve().name

    @property
    def kimg(self) -> float:
        """Thousands of real images shown so far, by the newest number or sample grid."""
        return max([self.last("kimg", 0.0), *self.grids])

    @property
    def total(self) -> float:
        """Thousands of images after which the run ends, or NaN."""
        value = self.config.get("kimg")
        return float(value) if isinstance(value, int | float) else math.nan

    @property
    def hours_left(self) -> float:
        """Hours until the run ends at its latest speed. 0 for a finished run, NaN if it is not known."""
        if self.kimg >= self.total - 1e-6:
            return 0.0
        speed = self.last("kimg_per_second", math.nan)
        return (self.total - self.kimg) / speed / 3600 if speed > 0 else math.nan

    def last(self, column: str, default: float) -> float:
        """The newest number of a column."""
        known = [value for value in self.columns.get(column, []) if math.isfinite(value)]
        return known[-1] if known else default


def read_run(folder: str | Path) -> RunRecord:
    """Read the folder of a run.

    Raises:
        InputError: It is not the folder of a run, or one of its files cannot be read.
    """
    path = Path(folder).expanduser()
    table = path / "metrics.csv"
    if not path.is_dir() or not (path / "config.yaml").is_file():
        raise InputError(
            f"Expected the folder of a run, with config.yaml and metrics.csv, found that {printable(str(folder))} "
            "is none. Give a folder such as runs/demo."
        )
    try:
        rows = read_csv(table)
        config = yaml.safe_load((path / "config.yaml").read_text(encoding="utf-8"))
        owner = path / ".lock"
        process = owner.read_text(encoding="utf-8").strip() if owner.is_file() else ""
        written = table.stat().st_mtime if table.is_file() else (path / "config.yaml").stat().st_mtime
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise InputError(f"{printable(str(path))} cannot be read: {printable(str(error))}") from error
    names = list(rows[0]) if rows else []
    samples = path / "samples"
    grids = {at: file for file in samples.glob("kimg*.png") if (at := _number(file.stem[4:])) == at}
    return RunRecord(
        path,
        {name: [_number(row.get(name)) for row in rows] for name in names},
        dict(sorted(grids.items())),
        samples / "reals.png" if (samples / "reals.png").is_file() else None,
        _flat(config),
        written,
        process,
    )


def _number(text: str | None) -> float:
    try:
        return float(text or "nan")
    except ValueError:
        return math.nan


def _flat(config: object, prefix: str = "") -> dict[str, Any]:
    """A nested mapping as one mapping, with dots in the names."""
    if not isinstance(config, dict):
        return {}
    flat: dict[str, Any] = {}
    for name, value in config.items():
        flat |= _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {f"{prefix}{name}": value}
    return flat
