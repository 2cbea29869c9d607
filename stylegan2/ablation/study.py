"""A study: the folder that holds what is compared and everything that comes of it, and its length.

study.json  base.yaml  variants/NAME.yaml   what is compared
runs/NAME-seedK/                            a run's folder, as train.py writes it
results/NAME-seedK.json                     how the run ended and how good it is; missing until it has ended
logs/NAME-seedK.log                         what the run printed
"""

from __future__ import annotations

import csv
import json
import re
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

import yaml

from stylegan2.ablation.plan import Variant, leaves
from stylegan2.cli import train_parser
from stylegan2.errors import InputError
from stylegan2.files import write_text
from stylegan2.training.folder import LAST

CYCLE = 16
"""Iterations in which every lazy penalty is evaluated at least once: R1's default interval."""


@dataclass(frozen=True, kw_only=True)
class Run:
    """One variant with one seed."""

    variant: str
    seed: int

    @property
    def name(self) -> str:
        return f"{self.variant}-seed{self.seed}"


@dataclass(frozen=True, kw_only=True)
class Signal:
    """What a variant does to the signal before any training."""

    discriminator: dict[str, float]
    """rms after each block and each layer of the end, from image to logit, for real images."""
    generator: dict[str, float]
    """rms after each synthesis layer, and of the image."""
    logits_std: float
    """Standard deviation of the logits over real images."""


@dataclass(frozen=True, kw_only=True)
class Result:
    """How a run ended."""

    status: Literal["finished", "diverged", "failed"]
    kimg: float
    """Thousands of images that the run got to."""
    why: str = ""
    """Message of a diverged or failed run."""
    curve: list[tuple[float, float]] = field(default_factory=list)
    """(kimg, quality distance) over training."""
    signal: Signal | None = None


@dataclass(frozen=True, kw_only=True)
class Study:
    """Every variant with every seed, for the same number of images in the same order."""

    out: Path
    variants: list[Variant]
    seeds: int
    kimg: float
    images: int
    """Generated images that the quality distance is taken over."""
    metric: str = "random_frechet"
    """Name of the metric that is the quality distance."""

    @property
    def measured(self) -> dict[str, object]:
        """What two studies must share, beside the base configuration, to be compared."""
        return {"kimg": self.kimg, "images": self.images, "metric": self.metric}

    @property
    def runs(self) -> list[Run]:
        """All runs, seed by seed, so that an interrupted study has compared everything at least once."""
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

    def result_file(self, run: Run) -> Path:
        return self.out / "results" / f"{run.name}.json"

    def result(self, run: Run) -> Result | None:
        """How the run ended; None if it has not."""
        if not self.result_file(run).is_file():
            return None
        state = json.loads(self.result_file(run).read_text())
        signal = state.pop("signal", None)
        return Result(**state, signal=Signal(**signal) if signal else None)

    def save_result(self, run: Run, result: Result) -> None:
        write_text(self.result_file(run), json.dumps(asdict(result), indent=1))

    def is_done(self, run: Run) -> bool:
        """Whether there is nothing left to do. A failed run is tried again."""
        result = self.result(run)
        return result is not None and result.status != "failed"

    def numbers(self, run: Run) -> list[dict[str, float]]:
        """The rows of the run's metrics.csv so far; a number that a row does not have is left out."""
        path = self.folder(run) / "metrics.csv"
        if not path.is_file():
            return []
        with path.open(newline="") as file:
            return [{k: float(v) for k, v in row.items() if v} for row in csv.DictReader(file)]

    def kimg_done(self, run: Run) -> float:
        """How far the run is by its numbers; all the way if it has ended."""
        rows = self.numbers(run)
        reached = rows[-1]["kimg"] if rows else 0.0
        return self.kimg if self.result(run) else min(reached, self.kimg)

    def arguments(self, run: Run) -> list[str]:
        """The options of training for a run: four evaluations and sample grids, twenty rows of numbers."""
        # A little less than an even share, or rounding may leave the end out.
        quarter = self.kimg / 4.0001
        options = {
            "config": self.base,
            "runs": self.out / "runs",
            "name": run.name,
            "seed": run.seed,
            "kimg": self.kimg,
            "log_kimg": self.kimg / 20.0001,
            "sample_kimg": quarter,
            "snapshot_kimg": quarter,
            "metrics.every_kimg": quarter,
        }
        args = [str(part) for key, value in options.items() for part in (f"--{key}", value)]
        args += ["--config", str(self.overlay(run))]
        return [*args, "--ckpt_path", "last"] if (self.folder(run) / LAST).is_file() else args

    def check(self) -> None:
        """Parse every variant's options before anything runs.

        Raises:
            InputError: A variant is no configuration.
        """
        parser = train_parser()
        parser.exit_on_error = False
        for variant in self.variants:
            try:
                parser.instantiate(parser.parse_args(self.arguments(Run(variant=variant.name, seed=0))))
            except Exception as error:  # jsonargparse has several kinds of its own
                text = " ".join(str(error).split())[:300]
                raise InputError(f"{variant.name} ({variant.overlay}) is no configuration: {text}") from error

    def save(self, base: str) -> None:
        """Write the plan, with the merged base configuration, or check that it is the one that is there.

        Variants and seeds may be added to a study, and left out.

        Raises:
            InputError: The folder holds a study with another base configuration, length or quality distance.
        """
        if (self.out / "study.json").is_file():
            old = load_study(self.out)
            theirs = dict(leaves(yaml.safe_load(self.base.read_text()))) | old.measured
            ours = dict(leaves(yaml.safe_load(base))) | self.measured
            differing = [
                f"  {key}: {theirs.get(key)} there, {ours.get(key)} asked for"
                for key in theirs | ours
                if theirs.get(key) != ours.get(key)
            ]
            if differing:
                raise InputError(
                    f"{self.out} holds a study that cannot be compared with this one:\n"
                    + "\n".join(differing)
                    + "\nRepeat its settings to go on with it, or choose another --out."
                )
        write_text(self.base, base)
        for variant in self.variants:
            write_text(self.out / "variants" / f"{variant.name}.yaml", yaml.safe_dump(variant.overlay))
        write_text(self.out / "study.json", json.dumps(asdict(self) | {"out": str(self.out)}, indent=1))


def load_study(out: Path) -> Study:
    """The study in a folder.

    Raises:
        InputError: There is none.
    """
    if not (out / "study.json").is_file():
        raise InputError(f"Expected a study in {out}, found no study.json. Give the --out it was made with.")
    state = json.loads((out / "study.json").read_text())
    return Study(**state | {"out": out, "variants": [Variant(**v) for v in state["variants"]]})


def training_seconds(rows: list[dict[str, float]]) -> float:
    """Time of training in rows of metrics.csv. Interruptions and evaluations do not count."""
    total, kimg, evaluating = 0.0, 0.0, 0.0
    for row in rows:
        if "kimg_per_second" in row:
            # An evaluation is logged after the row of its iteration, so the next row's speed holds its time.
            total += max((row["kimg"] - kimg) / row["kimg_per_second"] - evaluating, 0.0)
            kimg, evaluating = row["kimg"], 0.0
        evaluating += row.get("evaluation_seconds", 0.0)
    return total


def longest_runs(budget: float, rounds: int, batch: int, seconds_per_kimg: float, overhead: float) -> float:
    """The kimg, in whole batches, with which `rounds` runs one after another end in `budget` seconds.

    Args:
        budget: Seconds for everything.
        rounds: Runs of the study, divided by the runs at once.
        batch: Images in an iteration.
        seconds_per_kimg: Seconds that training takes.
        overhead: Seconds that a run takes beside, for starting and for measuring quality.

    Raises:
        InputError: The time is too short for one evaluation of R1 in each run.
    """
    images, least = 1000 * (budget / rounds - overhead) / seconds_per_kimg, CYCLE * batch
    if images < least:
        needed = rounds * (overhead + least / 1000 * seconds_per_kimg)
        raise InputError(
            f"--budget of {budget / 60:.3g} minutes leaves {max(images, 0):.0f} images for each run, "
            f"expected at least {least}. Give {needed / 60:.0f} minutes or more, fewer --seeds, or fewer "
            "--fields."
        )
    return int(images) // batch * batch / 1000


def parse_duration(text: str) -> float:
    """ "90", "90s", "30m", "2h" or "1h30m" to seconds.

    Raises:
        InputError: The text is something else.
    """
    number = r"(\d+\.?\d*)"
    match = re.fullmatch(f"(?:{number}h)?(?:{number}m)?(?:{number}s?)?", text.strip())
    hours, minutes, seconds = (float(part or 0) for part in match.groups()) if match else (0, 0, 0)
    total = 3600 * hours + 60 * minutes + seconds
    if total == 0:
        raise InputError(f"--budget expects a time such as 90s, 30m or 2h, found {text!r}.")
    return total
