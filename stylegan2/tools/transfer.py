"""`stylegan2 transfer`: measures whether scalings and hyperparameters keep their meaning as the networks grow."""

from __future__ import annotations

import shlex
from pathlib import Path

from tqdm import tqdm

from stylegan2.ablation.plan.variants import shipped_overlays
from stylegan2.coordinates.plan import AXES, NORMALIZATIONS, Over, Size, chosen
from stylegan2.errors import InputError
from stylegan2.files import text_table
from stylegan2.optimum.plan import Plan, Task, chosen_variants, parse_sizes, parse_sweep


def transfer(
    over: Over,
    out: str | None = None,
    seeds: int = 4,
    variants: str = "all",
    optimum: str | None = None,
    sizes: str = "16,64",
    task: Task = "discriminator",
    kimg: float = 2.4,
    data: str = "demo",
    parallel: int = 2,
    yes: bool = False,
) -> int:
    """Measure which power of the size each quantity grows with, as configured by default and with scalings off.

    This is a coordinate check. Networks of five sizes are measured before training, and after 1, 2, 4 and 8 steps of
    Adam. A scaling is right if signal, gradient and steps keep their size (exponent 0), because then learning rate
    and penalties that are right at one size stay right at the others. The report compares the measured exponents
    with the predicted ones.

    With --optimum, networks of a few sizes are trained with several values of a hyperparameter instead. The report
    says where the best value is at each size, and over how many octaves the values that train overlap between
    sizes, with each scaling and without it.

    Args:
        over: What grows: width (feature maps), depth (blocks), resolution (pixels), batch, or latent_dim (entries
            of z).
        out: Folder for report.html, report.md, plots and numbers. null: transfer, or optimum with --optimum.
        seeds: Number of networks of each size.
        variants: Scalings to switch off, one at a time: all, default for none, or names with commas, such as
            weight_scaling,residual_gain. Without --optimum also normalizations: names of configs/normalizations,
            such as batch,spectral, or normalizations for all of them.
        optimum: The hyperparameter whose best value is sought, with the values to try: learning_rate, r1.gamma or
            path_length.weight, such as learning_rate=0.0005..0.128x9 for nine values in geometric steps.
        sizes: With --optimum: the sizes to train, such as 16,64. With a single one, the report says which values
            train there, with each scaling and without it.
        task: With --optimum: discriminator (D alone tells drawings from blends of two drawings, which takes seconds),
            or gan (small GANs, as `ablate` trains them).
        kimg: With --optimum: thousands of images of each training.
        data: With --optimum: folder or zip of images, or demo.
        parallel: With --optimum: number of processes.
        yes: With --task discriminator: run a study that takes more than an hour by the estimate.

    Raises:
        InputError: A name is not that of a scaling, a number is out of range, or there are no seeds.
    """
    if optimum is not None:
        name, values = parse_sweep(optimum)
        plan = Plan(
            out=Path(out or "optimum"),
            task=task,
            over=over,
            numbers=parse_sizes(sizes, over),
            name=name,
            values=values,
            variants=chosen_variants(variants, task),
            seeds=seeds,
            kimg=kimg,
            data=data,
        )
        return study_optimum(plan, parallel, yes)
    if seeds < 1:
        raise InputError(f"Expected --seeds of 1 or more, found {seeds}. Try 4.")
    return _coordinates(over, Path(out or "transfer"), seeds, variants)


def study_optimum(plan: Plan, parallel: int, yes: bool) -> int:
    """Run what is left of a study of an optimum, and print its sentences. Returns the exit status."""
    # Imported here, so that --help need not import what training needs.
    from stylegan2.optimum.run import report_study, run_study
    from stylegan2.optimum.summary import HEAD, row, sentences

    if parallel < 1:
        raise InputError(f"Expected --parallel of 1 or more, found {parallel}. Give 1 or more.")
    if stopped := run_study(plan, parallel, yes):
        print(f"Stopped. To resume: {plan.command}")
        return 128 + stopped
    page, found = report_study(plan)
    print(text_table(HEAD, [row(plan, curve) for variant in found for curve in variant.curves]))
    print("\n" + "\n\n".join(sentences(plan, found)))
    print(f"\nReport     {page}\nNumbers    {page.with_name('optimum.json')}")
    return 0


def _coordinates(over: Over, out: Path, seeds: int, variants: str) -> int:
    overlays = shipped_overlays(NORMALIZATIONS)
    names, axis = chosen(variants, overlays), AXES[over]

    # Imported here, so that --help need not import matplotlib.
    from stylegan2.coordinates.fit import slopes
    from stylegan2.coordinates.measure import measure, measure_overlay
    from stylegan2.coordinates.report import number, write_report

    def measured_at(size: Size, name: str, seed: int) -> dict[str, float]:
        if name in overlays:
            return measure_overlay(size, overlays[name]["model"], seed)
        return measure(size, name, seed)

    runs = len(names) * seeds * len(axis.sizes)
    measured: dict[str, list[list[dict[str, float]]]] = {}
    with tqdm(total=runs, desc="Measuring", unit="network") as bar:
        for name in names:
            measured[name] = [[] for _ in range(seeds)]
            for seed in range(seeds):
                for size in axis.sizes:
                    measured[name][seed].append(measured_at(size, name, seed))
                    bar.update()
    found = slopes(axis, over, measured)
    command = shlex.join(
        ["stylegan2", "transfer", "--over", over, "--variants", variants, "--seeds", str(seeds)]
    )
    page = write_report(out, over, axis, measured, found, command)
    rows = [
        [
            s.variant,
            s.quantity + (" / default" if s.relative else ""),
            f"{s.predicted:g}",
            number(s),
            s.verdict,
        ]
        for s in found
        if s.predicted is not None
    ]
    print(text_table(["variant", "quantity", "predicted", "measured", ""], rows))
    print(
        f"\nThe slope is the {axis.slope_of}.\nReport     {page}\nNumbers    {page.with_name('transfer.json')}"
    )
    return 0
