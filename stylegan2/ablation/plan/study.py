"""A study: its plan, its folder and its results.

The folder of a study holds

study.json  base.yaml  variants/NAME.yaml   the plan, the base configuration and the changes of each variant
runs/NAME-seedK/                            the folder of a run, as train.py writes it
results/NAME-seedK.json                     how the run ended, its quality and its signal, once it has ended
logs/NAME-seedK.log                         the output of the run
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

import yaml

from stylegan2.ablation.plan.measures import QUALITY, Curve, Reading
from stylegan2.ablation.plan.variants import DEFAULT, Variant, leaves
from stylegan2.cli import train_parser
from stylegan2.errors import InputError
from stylegan2.files import write_text
from stylegan2.training.folder import LAST

CYCLE = 16
"""Smallest length of a run in iterations: R1's default interval, in which every lazy penalty is evaluated."""

FIRST_LOOK = 3
"""Seeds before the first look at a study that ends when it is decided."""


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
    """The signal in the untrained networks of a variant."""

    discriminator: dict[str, float]
    """rms after each block and each layer of the last block, from image to logit, for real images."""
    generator: dict[str, float]
    """rms after each synthesis layer and of the image, for random latents."""
    logits_std: float
    """Standard deviation of the logits over real images."""


@dataclass(frozen=True, kw_only=True)
class Result:
    """How a run ended."""

    status: Literal["finished", "diverged", "failed"]
    kimg: float
    """Length that the run reached, in thousands of images."""
    why: str = ""
    """Message of a diverged or failed run."""
    curve: list[tuple[float, float]] = field(default_factory=list)
    """Pairs (kimg, quality distance), in the order of training."""
    others: dict[str, list[tuple[float, float]]] = field(default_factory=dict)
    """The curves of the other measures, by name."""
    signal: Signal | None = None

    def values(self, name: str) -> Curve:
        """The curve of this name, which may be empty."""
        return self.curve if name == QUALITY else self.others.get(name, [])


@dataclass(frozen=True, kw_only=True)
class Study:
    """A study trains every variant with every seed. Runs of one seed see the same images in the same order."""

    out: Path
    variants: list[Variant]
    seeds: int
    kimg: float
    images: int
    """Number of generated images for the quality distance."""
    metric: str = "random_frechet"
    """Name of the metric that is the quality distance."""
    until: Literal["all", "decided"] = "all"
    """Whether to run all seeds, or to look after each seed and to leave out what is decided."""
    margin: float = 1.1
    """Largest factor between two distances that count as equivalent."""
    control_seeds: int | None = None
    """Number of seeds of the default, which most variants are compared with. None: as many as of the others."""
    primary: Reading = "last"
    """How the quality distance of a run is read for the verdict. Studies of version 0.1 took the last one."""
    features: str | None = None
    """Feature network of the measures at the end of a run. None: they are not measured."""
    final_images: int = 0
    """Number of generated images for the measures at the end of a run. 0: they are not measured."""

    @property
    def measured(self) -> dict[str, object]:
        """The settings that two studies must share to be comparable, besides the base configuration."""
        names = ["kimg", "images", "metric", "until", "primary", "features", "final_images"]
        # The level of each look depends on the number of seeds that are planned.
        names += ["seeds", "control_seeds"] if self.until == "decided" else []
        return {name: getattr(self, name) for name in names}

    @property
    def looks(self) -> list[int]:
        """Numbers of seeds after which the study is judged."""
        first = min(FIRST_LOOK, self.seeds)
        return list(range(first, self.seeds + 1)) if self.until == "decided" else [self.seeds]

    def seeds_of(self, variant: str) -> int:
        """The number of seeds of a variant. The default may have more than the others."""
        return max(self.control_seeds or 0, self.seeds) if variant == DEFAULT else self.seeds

    def runs_of(self, variant: str) -> list[Run]:
        return [Run(variant=variant, seed=seed) for seed in range(self.seeds_of(variant))]

    @property
    def runs(self) -> list[Run]:
        """All runs, ordered by seed, so that an interrupted study has most variants with the first seeds."""
        every = [run for variant in self.variants for run in self.runs_of(variant.name)]
        return sorted(every, key=lambda run: run.seed)

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
        """How the run ended, or None if it has not ended."""
        if not self.result_file(run).is_file():
            return None
        state = json.loads(self.result_file(run).read_text(encoding="utf-8"))
        signal = state.pop("signal", None)
        return Result(**state, signal=Signal(**signal) if signal else None)

    def save_result(self, run: Run, result: Result) -> None:
        write_text(self.result_file(run), json.dumps(asdict(result), indent=1))

    def is_done(self, run: Run) -> bool:
        """Whether the run has finished or diverged. A failed run is tried again."""
        result = self.result(run)
        return result is not None and result.status != "failed"

    def numbers(self, run: Run) -> list[dict[str, float]]:
        """The rows of the run's metrics.csv so far. Empty cells are left out."""
        path = self.folder(run) / "metrics.csv"
        if not path.is_file():
            return []
        with path.open(newline="", encoding="utf-8") as file:
            return [{k: float(v) for k, v in row.items() if v} for row in csv.DictReader(file)]

    def kimg_done(self, run: Run) -> float:
        """The kimg that the run has reached. A run that has ended in any way counts as complete."""
        rows = self.numbers(run)
        reached = rows[-1]["kimg"] if rows else 0.0
        return self.kimg if self.result(run) else min(reached, self.kimg)

    def arguments(self, run: Run) -> list[str]:
        """The training options of a run, with four evaluations and sample grids and twenty rows of numbers."""
        # Slightly less than a quarter, because rounding could otherwise skip the last one.
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
        """Parse the options of every variant, before anything runs.

        Raises:
            InputError: A variant is not a valid configuration.
        """
        parser = train_parser()
        parser.exit_on_error = False
        for variant in self.variants:
            try:
                parser.instantiate(parser.parse_args(self.arguments(Run(variant=variant.name, seed=0))))
            except Exception as error:  # jsonargparse raises several types
                text = " ".join(str(error).split())[:300]
                raise InputError(
                    f"The variant {variant.name} ({variant.overlay}) is not a valid configuration: {text}. "
                    "Correct its options."
                ) from error

    def save(self, base: str) -> None:
        """Write the plan and the base configuration, after comparing them with a study that is in the folder.

        Variants and seeds may differ from that study.

        Args:
            base: The merged base configuration, as YAML text.

        Raises:
            InputError: The folder holds a study with another base configuration, length or quality distance.
        """
        if (self.out / "study.json").is_file():
            old = load_study(self.out)
            theirs = dict(leaves(yaml.safe_load(self.base.read_text(encoding="utf-8")))) | old.measured
            ours = dict(leaves(yaml.safe_load(base))) | self.measured
            check_same_settings(self.out, theirs, ours)
        write_text(self.base, base)
        for variant in self.variants:
            write_text(self.out / "variants" / f"{variant.name}.yaml", yaml.safe_dump(variant.overlay))
        write_text(self.out / "study.json", json.dumps(asdict(self) | {"out": str(self.out)}, indent=1))


def check_same_settings(out: Path, theirs: Mapping[str, object], ours: Mapping[str, object]) -> None:
    """Compare the settings of the study in a folder with those of the one that is to continue it.

    Raises:
        InputError: Some differ.
    """
    differing = [
        f"  {key}: {theirs.get(key)} in the folder, {ours.get(key)} requested"
        for key in {**theirs, **ours}
        if theirs.get(key) != ours.get(key)
    ]
    if differing:
        raise InputError(
            f"{out} holds a study that cannot be compared with this one:\n"
            + "\n".join(differing)
            + "\nUse its settings to continue it, or choose another --out."
        )


def load_study(out: Path) -> Study:
    """The study in a folder.

    Raises:
        InputError: The folder holds no study.
    """
    if not (out / "study.json").is_file():
        raise InputError(
            f"Expected a study in {out}, found no study.json. Give the --out of an existing study."
        )
    state = json.loads((out / "study.json").read_text(encoding="utf-8"))
    return Study(**state | {"out": out, "variants": [Variant(**v) for v in state["variants"]]})


def training_seconds(rows: list[dict[str, float]]) -> float:
    """Seconds of training according to rows of metrics.csv, without interruptions and evaluations."""
    total, kimg, evaluating = 0.0, 0.0, 0.0
    for row in rows:
        if "kimg_per_second" in row:
            # An evaluation is logged after the row of its iteration, so the next row's speed holds its time.
            total += max((row["kimg"] - kimg) / row["kimg_per_second"] - evaluating, 0.0)
            kimg, evaluating = row["kimg"], 0.0
        evaluating += row.get("evaluation_seconds", 0.0)
    return total


def longest_runs(budget: float, rounds: int, batch: int, seconds_per_kimg: float, overhead: float) -> float:
    """The longest run, in kimg and in whole batches, with which `rounds` runs in sequence fit into `budget`.

    Args:
        budget: Seconds for all runs.
        rounds: Number of runs divided by the number of parallel runs, rounded up.
        batch: Images per iteration.
        seconds_per_kimg: Seconds of training per kimg.
        overhead: Seconds per run for starting it and for measuring quality.

    Raises:
        InputError: The time is too short for one evaluation of R1 in each run.
    """
    images, least = 1000 * (budget / rounds - overhead) / seconds_per_kimg, CYCLE * batch
    if images < least:
        needed = rounds * (overhead + least / 1000 * seconds_per_kimg)
        raise InputError(
            f"Expected a --budget for at least {least} images per run, found {budget / 60:.3g} minutes, which is "
            f"enough for {max(images, 0):.0f}. Give {needed / 60:.0f} minutes or more, fewer --seeds, or fewer "
            "--fields."
        )
    return int(images) // batch * batch / 1000


def parse_duration(text: str) -> float:
    """The seconds of a text such as "90", "90s", "30m", "2h" or "1h30m".

    Raises:
        InputError: The text is something else.
    """
    number = r"(\d+\.?\d*)"
    match = re.fullmatch(f"(?:{number}h)?(?:{number}m)?(?:{number}s?)?", text.strip())
    hours, minutes, seconds = (float(part or 0) for part in match.groups()) if match else (0, 0, 0)
    total = 3600 * hours + 60 * minutes + seconds
    if total == 0:
        raise InputError(
            f"--budget expects a time above 0, such as 90s, 30m or 2h, found {text!r}. Correct it."
        )
    return total
