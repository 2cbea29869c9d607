"""Runs one curve of the discriminator's task in a process of its own: one training for each value."""

from __future__ import annotations

import sys
from pathlib import Path

from stylegan2.ablation.run.one import failed, output_to
from stylegan2.console import accept_any_character
from stylegan2.optimum.discriminator import train
from stylegan2.optimum.study import load


def run_curve(out: str, name: str) -> int:
    """Measure the values of a curve that have not been tried. Each result is stored at once.

    Args:
        out: Folder of the study.
        name: Name of the run.

    Returns:
        0. A failure is stored as the result of the run.
    """
    sweeps = load(Path(out))
    run = next(run for run in sweeps.runs if run.name == name)
    variant, number = sweeps.plan.curves[run.variant]
    with output_to(sweeps.log(run)):
        try:
            for value in sweeps.waiting(run):
                point = train(sweeps.plan, number, variant, run.seed, value)
                sweeps.save_point(run, point)
                print(f"{value:g}: {point.score:.4g} {point.status} {point.why}", flush=True)
        except Exception as error:  # no failure of one run may stop the others
            sweeps.save_result(run, failed(error, sweeps.kimg_done(run)))
    return 0


if __name__ == "__main__":
    accept_any_character()
    sys.exit(run_curve(*sys.argv[1:]))
