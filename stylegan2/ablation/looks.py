"""Running a study look by look, and what a study can see before it runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from statistics import fmean

import numpy as np

from stylegan2.ablation.plan.study import Run, Study, training_seconds
from stylegan2.ablation.plan.variants import DEFAULT, Variant
from stylegan2.ablation.run.many import Engine, run_all
from stylegan2.ablation.statistics import power
from stylegan2.ablation.statistics.summary import controls, outcomes_of
from stylegan2.ablation.statistics.verdicts import DECIDED, judge
from stylegan2.files import text_table


def run_looks(study: Study, start: Engine, parallel: int) -> int | None:
    """Run a study. With `until` = decided, run seed by seed, and only what is undecided.

    Returns:
        None, or the number of the signal that stopped the study.
    """
    for seeds in study.looks:
        variants = undecided(study)
        # Further seeds of the control count in every look, so they come before the first one.
        wanted = [
            r for r in study.runs if (r.seed < seeds or r.seed >= study.seeds) and r.variant in variants
        ]
        if stopped := run_all(study, start, parallel, runs=wanted):
            return stopped
        if len(study.looks) > 1:
            print(
                f"{len(undecided(study) & controls(study).keys())} variants are undecided after {seeds} seeds."
            )
    return None


def undecided(study: Study) -> set[str]:
    """The variants without a verdict, and their controls."""
    control = controls(study)
    found = judge(control, outcomes_of(study), study.looks, study.margin)
    names = {n for n, c in found.items() if len(study.looks) == 1 or c.verdict not in DECIDED}
    return names | {control[name] for name in names}


def detection(
    study: Study, effect: float, probability: float, parallel: int, planned: Sequence[Variant] = ()
) -> str:
    """What it takes to see an effect, from a study that serves as a pilot.

    Args:
        study: A study of which two seeds or more have finished.
        effect: Ratio of quality distances, above 1.
        probability: Probability with which the effect is found.
        parallel: Number of runs at the same time.
        planned: The variants of the planned study. None given: those of the pilot.

    Raises:
        InputError: The study has too few finished runs, or the effect takes too many seeds.
    """
    pilot, variants = _pilot(study), len(planned or study.variants)
    if planned:
        pilot = replace(pilot, comparisons=sum(variant.control is not None for variant in planned))
    seeds = power.seeds_needed(effect, pilot, probability)
    runs = power.runs(seeds, variants, pilot)
    hours = power.duration(runs, pilot, parallel) / 3600
    rows = power.outlook(pilot, variants, parallel, sorted({3, 5, 8, 12, seeds}))
    return (
        f"Pilot: {study.out}, {study.kimg:g} kimg and {pilot.seconds:.0f} s per run. The logarithm of a paired ratio "
        f"has a standard deviation of {pilot.noise:.2f}. Runs of one seed share {100 * pilot.shared:.0f} % of the "
        "variance between seeds.\n"
        f"Planned: {pilot.comparisons} comparisons. "
        f"An effect of ×{effect:g} is found with a probability of {probability:g} with {seeds} seeds, and "
        f"{power.control_seeds(seeds, pilot)} of the default: {runs} runs, {hours:.2g} hours with {parallel} in "
        "parallel.\n\n"
        + text_table(["seeds", "of the default", "runs", "hours", "smallest effect (power 0.8)"], rows)
    )


def expectation(study: Study) -> str:
    """Which effect a planned study can see if its runs vary as those of the demo."""
    pilot = power.Pilot(
        comparisons=len(controls(study)),
        noise=2**0.5 * power.TYPICAL_NOISE,
        correlation=0.5,
        shared=power.TYPICAL_SHARED,
        seconds=0,
    )
    effect = power.smallest_effect(study.seeds, pilot, control=study.seeds_of(DEFAULT))
    return (
        f"With {study.seeds} seeds, the study finds an effect of ×{effect:.2f} or more with a probability of 0.8, if "
        f"runs vary as much as those of the demo (a standard deviation of {power.TYPICAL_NOISE} in the logarithm). "
        "Use --detect after a pilot to know how much yours vary."
    )


def _pilot(study: Study) -> power.Pilot:
    control, outcomes = controls(study), outcomes_of(study)
    rows = [outcomes[name].logs - outcomes[other].logs[: study.seeds] for name, other in control.items()]
    alike = [outcomes[name].logs[: study.seeds] for name in (DEFAULT, *control)]
    seconds = [_seconds(study, run) for run in study.runs if study.result(run)]
    return power.pilot(np.array(rows), np.array(alike), len(control), fmean(seconds) if seconds else 0.0)


def _seconds(study: Study, run: Run) -> float:
    """Duration of a run: training and measuring, without the start of its process."""
    rows = study.numbers(run)
    return training_seconds(rows) + sum(row.get("evaluation_seconds", 0.0) for row in rows)
