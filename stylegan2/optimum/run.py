"""Runs a whole study of an optimum, or what is left of it, and writes its report."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import fmean

from stylegan2.ablation.plan.study import Run
from stylegan2.ablation.run.many import processes, run_all
from stylegan2.errors import InputError
from stylegan2.optimum import curve, gan
from stylegan2.optimum.discriminator import R1_AT_THE_START, seconds_of_a_training
from stylegan2.optimum.plan import Plan
from stylegan2.optimum.study import Point, Sweeps, scores
from stylegan2.optimum.summary import Variant, exponents, summarize

Points = Callable[[Run], Mapping[float, Point]]
"""What has been measured in a run, by the value."""

HOUR = 3600.0


def run_study(plan: Plan, parallel: int, yes: bool) -> int | None:
    """Run what has not been run. Every training is stored when it ends, and none is repeated.

    Args:
        plan: The study.
        parallel: Number of processes.
        yes: Whether to run a study that takes more than an hour by the estimate, which the task gan does not have.

    Returns:
        None, or the number of the signal that stopped it.

    Raises:
        InputError: The folder holds another study, the images cannot be used, or the study takes too long.
    """
    if plan.task == "gan":
        study = gan.study_of(plan)
        study.save(gan.base(plan))
        study.check()
        done = sum(map(study.is_done, study.runs))
        print(
            f"{len(study.runs)} trainings of {plan.kimg:g} kimg; {done} done. Folder {plan.out}", flush=True
        )
        return run_all(study, processes(study, parallel), parallel)
    sweeps = Sweeps(plan)
    sweeps.check()
    left = sum(len(sweeps.waiting(run)) for run in plan.runs)
    seconds = _estimate(sweeps) / parallel if left else 0.0
    print(
        f"{len(plan.runs) * len(plan.values)} trainings of {plan.kimg:g} kimg; {left} to do, roughly "
        f"{seconds / 60:.0f} minutes with {parallel} at a time. Folder {plan.out}",
        flush=True,
    )
    if seconds > HOUR and not yes:
        raise InputError(
            f"The study takes roughly {seconds / HOUR:.1f} hours on this machine. Confirm this with --yes, or give "
            "fewer --variants, --seeds, values, or smaller --sizes."
        )
    sweeps.save()
    return run_all(sweeps, processes(sweeps, parallel, module=curve.__name__), parallel)


def _estimate(sweeps: Sweeps) -> float:
    """Seconds that the trainings which are left take, one after the other."""
    plan = sweeps.plan
    left = dict.fromkeys(plan.numbers, 0)
    for run in plan.runs:
        left[plan.curves[run.variant][1]] += len(sweeps.waiting(run))
    return sum(n * seconds_of_a_training(plan, number) for number, n in left.items() if n)


def report_study(plan: Plan) -> tuple[Path, list[Variant]]:
    """Write the report of a study of which all trainings have ended. Returns the page, and the summaries.

    Raises:
        InputError: A training has no result.
    """
    # Imported here, so that --help need not import matplotlib.
    from stylegan2.optimum.report import write_report

    points = _points(plan)
    found = scores(plan, points)
    variants = summarize(plan, found)
    growth = {}
    if plan.task == "discriminator" and len(plan.numbers) > 1:
        starts = {
            of_curve: [_at_the_start(points(run)) for run in plan.runs if run.variant == name]
            for name, of_curve in plan.curves.items()
        }
        growth[R1_AT_THE_START] = exponents(plan, starts, R1_AT_THE_START)
    return write_report(plan, found, variants, growth), variants


def _points(plan: Plan) -> Points:
    if plan.task == "gan":
        study = gan.study_of(plan)
        return lambda run: gan.points(plan, study, run)
    return Sweeps(plan).points


def _at_the_start(points: Mapping[float, Point]) -> float:
    """R1 before training. The value that is tried does not change it."""
    return fmean(point.measured[R1_AT_THE_START] for point in points.values())
