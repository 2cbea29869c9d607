"""`stylegan2 ablate --design`: compares scalings over many values of a hyperparameter."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from stylegan2.coordinates.plan import Over
from stylegan2.errors import InputError
from stylegan2.optimum.plan import Plan, Task, chosen_variants, parse_sizes, parse_sweep
from stylegan2.tools.transfer import study_optimum

SIZES = {
    "range": {"resolution": "32", "width": "16", "depth": "3", "batch": "16", "latent_dim": "64"},
    "transfer": {
        "resolution": "16,64",
        "width": "8,32",
        "depth": "1,4",
        "batch": "8,32",
        "latent_dim": "16,256",
    },
}
"""The sizes of a design, by what grows."""


def run_design(
    design: Literal["range", "transfer"],
    over: str,
    fields: str = "all",
    sizes: str | None = None,
    grow: Over = "resolution",
    task: Task = "discriminator",
    seeds: int = 3,
    kimg: float = 2.4,
    data: str = "demo",
    parallel: int = 2,
    out: str | None = None,
    yes: bool = False,
) -> int:
    """Train small networks with several values of a hyperparameter, with each scaling and without it.

    --design range says for which values networks of one size train. --design transfer says where the best value is
    at several sizes, whether it moves, and over how many octaves the values that train overlap between sizes. The
    networks are small ones that this command chooses, not those of a configuration. The folder is that of
    `stylegan2 transfer --optimum`, which can continue the study.

    Args:
        design: range (one size) or transfer (several sizes).
        over: The hyperparameter, with the values to try: learning_rate, r1.gamma or path_length.weight, such as
            learning_rate=0.0002..0.05x6 for six values in geometric steps.
        fields: Scalings to switch off, one at a time: all, default for none, or names with commas, such as
            weight_scaling,residual_gain.
        sizes: The sizes to train, such as 16,64. null: 32 for range, and 16,64 for transfer, if the resolution grows.
        grow: What the sizes are sizes of: resolution (pixels), width (feature maps), depth (blocks), batch, or
            latent_dim (entries of z).
        task: discriminator (D alone tells drawings from blends of two drawings, which takes seconds), or gan (small
            GANs, which say something about the generator's scalings too).
        seeds: Number of trainings with each value.
        kimg: Thousands of images of each training.
        data: Folder or zip of images, or demo.
        parallel: Number of processes.
        out: Folder for report.html, report.md, figures and numbers. null: range or transfer.
        yes: With --task discriminator: run a study that takes more than an hour by the estimate.

    Raises:
        InputError: A name is not known, a number is out of range, or options do not fit together.
    """
    name, values = parse_sweep(over, "--over")
    numbers = parse_sizes(sizes or SIZES[design][grow], grow)
    if (len(numbers) == 1) != (design == "range"):
        wanted = "one size" if design == "range" else "two sizes or more"
        raise InputError(
            f"Expected --sizes of {wanted} with --design {design}, found {sizes!r}. "
            f"Try {SIZES[design][grow]}, or --design {'transfer' if design == 'range' else 'range'}."
        )
    plan = Plan(
        out=Path(out or design),
        task=task,
        over=grow,
        numbers=numbers,
        name=name,
        values=values,
        variants=chosen_variants(fields, task),
        seeds=seeds,
        kimg=kimg,
        data=data,
    )
    return study_optimum(plan, parallel, yes)
