"""A study on disk: what is to be run, and what has become of it; all that a report needs.

study.json  base.yaml  variants/NAME.yaml   what is compared
runs/NAME-seedK/                            a run's folder, as train.py writes it
results/NAME-seedK.json                     how it ended and how good it is; absent while it is to be done
logs/NAME-seedK.log                         what it printed
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

import yaml

from stylegan2.ablation.variants import Variant
from stylegan2.errors import InputError
from stylegan2.training.loggers import read_csv
from stylegan2.training.run import LAST


@dataclass(frozen=True, kw_only=True)
class Result:
    """How a run ended."""

    status: Literal["finished", "diverged", "failed"]
    kimg: float
    """Thousands of images it got to."""
    why: str = ""
    """Of a diverged or failed one: what it said."""
    curve: list[tuple[float, float]] = field(default_factory=list)
    """(kimg, quality distance), of the checkpoints in order."""


@dataclass(frozen=True, kw_only=True)
class Run:
    """One variant with one seed."""

    variant: str
    seed: int

    @property
    def name(self) -> str:
        return f"{self.variant}-seed{self.seed}"


@dataclass(frozen=True, kw_only=True)
class Study:
    """Every variant with every seed, for the same number of images in the same order."""

    out: Path
    variants: list[Variant]
    seeds: int
    kimg: float
    images: int
    """Generated images that the quality distance is taken over."""

    @property
    def runs(self) -> list[Run]:
        """Seed by seed, so that an interrupted study has compared everything at least once."""
        return [Run(variant=v.name, seed=seed) for seed in range(self.seeds) for v in self.variants]

    @property
    def base(self) -> Path:
        return self.out / "base.yaml"

    def overlay(self, run: Run) -> Path:
        return self.out / "variants" / f"{run.variant}.yaml"

    def folder(self, run: Run) -> Path:
        return self.out / "runs" / run.name

    def log(self, run: Run) -> Path:
        return self.out / "logs" / f"{run.name}.log"

    def find(self, name: str) -> Run:
        """The run of a name."""
        return next(run for run in self.runs if run.name == name)

    def result(self, run: Run) -> Result | None:
        """How the run ended; None if it has not."""
        path = self._result(run)
        return Result(**json.loads(path.read_text())) if path.is_file() else None

    def save_result(self, run: Run, result: Result) -> None:
        write(self._result(run), json.dumps(asdict(result), indent=1))

    def forget(self, run: Run) -> None:
        """Drop how the run ended, to try again."""
        self._result(run).unlink(missing_ok=True)

    def _result(self, run: Run) -> Path:
        return self.out / "results" / f"{run.name}.json"

    def done(self, run: Run) -> bool:
        """Whether there is nothing left to do. A failed run is tried again."""
        result = self.result(run)
        return result is not None and result.status != "failed"

    def metrics(self, run: Run) -> list[dict[str, float]]:
        """The rows of the run's metrics.csv, so far."""
        rows = read_csv(self.folder(run) / "metrics.csv")
        return [{key: float(value) for key, value in row.items() if value} for row in rows]

    def kimg_done(self, run: Run) -> float:
        """How far the run is, as its numbers tell; all the way if it has ended."""
        if self.result(run):
            return self.kimg
        rows = self.metrics(run)
        return min(rows[-1].get("kimg", 0.0), self.kimg) if rows else 0.0

    def arguments(self, run: Run) -> list[str]:
        """Those of train.py: four checkpoints and sample grids, twenty rows of numbers."""
        options = {
            "config": self.base,
            "runs": self.out / "runs",
            "name": run.name,
            "seed": run.seed,
            "kimg": self.kimg,
            # A little less than an even share, or rounding may leave the end out.
            "log_kimg": self.kimg / 20.0001,
            "sample_kimg": self.kimg / 4.0001,
            "snapshot_kimg": self.kimg / 4.0001,
        }
        args = [str(part) for key, value in options.items() for part in (f"--{key}", value)]
        args += ["--config", str(self.overlay(run))]
        return [*args, "--ckpt_path", "last"] if (self.folder(run) / LAST).is_file() else args

    def save(self, base: str) -> None:
        """Write the study down, with the merged base configuration, or check that it is the one there.

        Fields and seeds may be added to a study, and left out.

        Raises:
            InputError: The folder holds a study with another base configuration or budget.
        """
        if (self.out / "study.json").is_file():
            old = load(self.out)
            differing = [
                f"  {key}: {a} there, {b} asked for"
                for key, a, b in (
                    ("kimg", old.kimg, self.kimg),
                    ("images", old.images, self.images),
                    *_differences(yaml.safe_load(self.base.read_text()), yaml.safe_load(base)),
                )
                if a != b
            ]
            if differing:
                raise InputError(
                    f"{self.out} holds a study that cannot be compared with this one:\n"
                    + "\n".join(differing)
                    + "\nRepeat its settings to go on with it, or choose another --out."
                )
        write(self.base, base)
        for variant in self.variants:
            write(self.out / "variants" / f"{variant.name}.yaml", yaml.safe_dump(variant.overlay))
        own = asdict(self) | {"out": str(self.out)}
        write(self.out / "study.json", json.dumps(own, indent=1))


def load(out: Path) -> Study:
    """The study in a folder."""
    state = json.loads((out / "study.json").read_text())
    return Study(**state | {"out": out, "variants": [Variant(**v) for v in state["variants"]]})


def write(path: Path, text: str) -> None:
    """Under a temporary name, then renamed: several machines read these files."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    temporary.write_text(text)
    temporary.replace(path)


def _differences(a: dict, b: dict, prefix: str = "") -> list[tuple[str, object, object]]:
    found = []
    for key in {**a, **b}:
        left, right = a.get(key), b.get(key)
        if isinstance(left, dict) and isinstance(right, dict):
            found += _differences(left, right, f"{prefix}{key}.")
        else:
            found.append((prefix + key, left, right))
    return found
