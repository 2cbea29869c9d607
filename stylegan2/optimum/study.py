"""The folder of a study of an optimum.

plan.json                  the settings that all runs share
points/CURVE-seedK.json    what was measured with each value of the hyperparameter so far
logs/CURVE-seedK.log       the output of the process
results/CURVE-seedK.json   why a process failed, if one did
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from stylegan2.ablation.plan.study import Result, Run, check_same_settings
from stylegan2.errors import InputError
from stylegan2.files import json_text, write_text
from stylegan2.optimum.plan import Plan

PLAN = "plan.json"

Curves = Mapping[tuple[str, int], NDArray[np.float64]]
"""Scores (seeds, values) by variant and size. Lower is better, and infinite is diverged."""


@dataclass(frozen=True, kw_only=True)
class Point:
    """What one value of the hyperparameter gave with one seed."""

    value: float
    score: float = math.inf
    """Lower is better."""
    status: Literal["finished", "diverged"] = "finished"
    why: str = ""
    seconds: float = 0.0
    measured: dict[str, float] = field(default_factory=dict)
    """Other quantities by name."""


@dataclass(frozen=True)
class Sweeps:
    """A study with its folder: what is to be run, and what has been measured. `run_all` of `ablation` runs it."""

    plan: Plan

    @property
    def out(self) -> Path:
        return self.plan.out

    @property
    def runs(self) -> list[Run]:
        return self.plan.runs

    @property
    def kimg(self) -> float:
        """Length of a run, which is one training for each value."""
        return self.plan.kimg * len(self.plan.values)

    def log(self, run: Run) -> Path:
        return self.out / "logs" / f"{run.name}.log"

    def result_file(self, run: Run) -> Path:
        return self.out / "results" / f"{run.name}.json"

    def points(self, run: Run) -> dict[float, Point]:
        """What has been measured with each value."""
        path = self._points_file(run)
        rows = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else []
        return {row["value"]: _point(row) for row in rows}

    def save_point(self, run: Run, point: Point) -> None:
        """Add a point to those of the run. The file is replaced as a whole."""
        points = self.points(run) | {point.value: point}
        write_text(self._points_file(run), json_text([asdict(each) for each in points.values()]))

    def waiting(self, run: Run) -> list[float]:
        """The values that have not been tried."""
        return [value for value in self.plan.values if value not in self.points(run)]

    def is_done(self, run: Run) -> bool:
        return not self.waiting(run)

    def kimg_done(self, run: Run) -> float:
        return self.plan.kimg * (len(self.plan.values) - len(self.waiting(run)))

    def result(self, run: Run) -> Result | None:
        """How the process of the run ended, or None if it has not."""
        if self.is_done(run):
            return Result(status="finished", kimg=self.kimg)
        path = self.result_file(run)
        return Result(**json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else None

    def save_result(self, run: Run, result: Result) -> None:
        write_text(self.result_file(run), json.dumps(asdict(result), indent=1))

    def check(self) -> None:
        """Compare the plan with that of a study that is in the folder.

        Raises:
            InputError: The folder holds a study with other settings.
        """
        if self._plan_file.is_file():
            check_same_settings(self.out, load(self.out).plan.fixed, self.plan.fixed)

    def save(self) -> None:
        """Write the plan, which the processes read."""
        write_text(self._plan_file, json.dumps(asdict(self.plan) | {"out": str(self.out)}, indent=1))

    @property
    def _plan_file(self) -> Path:
        return self.out / PLAN

    def _points_file(self, run: Run) -> Path:
        return self.out / "points" / f"{run.name}.json"


def _point(row: Mapping[str, Any]) -> Point:
    """A point from the file, in which null is a number that is not finite."""
    score = math.inf if row["score"] is None else row["score"]
    measured = {name: math.nan if value is None else value for name, value in row["measured"].items()}
    return Point(**{**row, "score": score, "measured": measured})


def load(out: Path) -> Sweeps:
    """The study in a folder, which must hold one."""
    state = json.loads((out / PLAN).read_text(encoding="utf-8"))
    lists = {name: tuple(value) for name, value in state.items() if isinstance(value, list)}
    return Sweeps(Plan(**state | lists | {"out": out}))


def scores(plan: Plan, points: Callable[[Run], Mapping[float, Point]]) -> Curves:
    """The scores of all runs.

    Raises:
        InputError: A value has not been tried, because its process failed.
    """
    found: dict[tuple[str, int], list[list[float]]] = {curve: [] for curve in plan.curves.values()}
    for run in plan.runs:
        of_run = points(run)
        if missing := [value for value in plan.values if value not in of_run]:
            raise InputError(
                f"{run.name} has no result for {plan.name} {', '.join(f'{v:g}' for v in missing)}. See "
                f"{plan.out / 'logs'}, correct what failed, and give the same command again."
            )
        found[plan.curves[run.variant]].append([of_run[value].score for value in plan.values])
    return {curve: np.array(rows) for curve, rows in found.items()}
