"""How long runs can be for all of them to end in a given time, from a measured speed."""

from __future__ import annotations

import re
import shutil
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from stylegan2.ablation.schedule import Engine, work_off
from stylegan2.ablation.study import Study
from stylegan2.ablation.variants import default
from stylegan2.errors import InputError

CYCLE = 16
"""Iterations in which every lazy penalty comes at least once: R1's default interval."""


@dataclass(frozen=True, kw_only=True)
class Speed:
    """What a run takes while as many others go on beside it as the study allows."""

    seconds_per_kimg: float
    overhead: float
    """Seconds for starting, and for measuring quality."""

    def seconds(self, runs: int, parallel: int, kimg: float) -> float:
        """Of a whole study."""
        rounds = -(-runs // parallel)
        return rounds * (self.overhead + kimg * self.seconds_per_kimg)

    def kimg(self, budget: float, runs: int, parallel: int, batch: int) -> float:
        """The longest runs that fit into `budget` seconds, in whole batches, to two digits.

        Raises:
            InputError: Less than one cycle of the lazy penalties a run.
        """
        rounds = -(-runs // parallel)
        images = 1000 * (budget / rounds - self.overhead) / self.seconds_per_kimg
        if images < CYCLE * batch:
            least = self.seconds(runs, parallel, CYCLE * batch / 1000)
            raise InputError(
                f"--budget of {budget / 60:.3g} minutes leaves {max(images, 0):.0f} images for each of "
                f"{runs} runs, expected at least {CYCLE * batch}. Give {least / 60:.0f} minutes or more, "
                "fewer --seeds, or fewer --fields."
            )
        digits = 10 ** max(len(str(int(images))) - 2, 0)
        return max(int(images) // digits * digits // batch, CYCLE) * batch / 1000


def measure(study: Study, engine: Callable[[Study], Engine], parallel: int, batch: int) -> Speed:
    """Train the base configuration shortly, in as many places at once as the study will use.

    Raises:
        InputError: It cannot be trained.
    """
    trial = replace(
        study,
        out=study.out / "speed",
        variants=[default()],
        seeds=parallel,
        kimg=4 * CYCLE * batch / 1000,
    )
    shutil.rmtree(trial.out, ignore_errors=True)
    trial.save(study.base.read_text())
    start = time.perf_counter()
    work_off(trial, engine(trial), parallel, progress=False)
    wall = time.perf_counter() - start
    for run in trial.runs:
        result = trial.result(run)
        if result is None or result.status == "failed" or not trial.metrics(run):
            why = result.why if result else "it was stopped"
            raise InputError(f"The base configuration cannot be trained: {why}. See {trial.log(run)}.")
    # The first half warms up; a median over rows keeps the rarer R1 out, so rather the mean.
    per_kimg = statistics.mean(
        1 / row["kimg_per_second"]
        for run in trial.runs
        for row in trial.metrics(run)[len(trial.metrics(run)) // 2 :]
    )
    shutil.rmtree(trial.out)
    return Speed(seconds_per_kimg=per_kimg, overhead=max(wall - trial.kimg * per_kimg, 0.0))


def parse_seconds(text: str) -> float:
    """ "90", "90s", "30m", "2h" or "1h30m" to seconds.

    Raises:
        InputError: Anything else.
    """
    match = re.fullmatch(r"(?:([\d.]+)h)?(?:([\d.]+)m)?(?:([\d.]+)s?)?", text.strip())
    try:
        h, m, s = (float(part or 0) for part in match.groups()) if match else (0, 0, 0)
    except ValueError:
        h = m = s = 0
    if h + m + s <= 0:
        raise InputError(f"--budget expects a time such as 90s, 30m or 2h, found {text!r}.")
    return 3600 * h + 60 * m + s
