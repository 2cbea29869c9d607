"""The task with a game: small GANs are trained, as a study of `ablation` of which every variant is one training.

The score is the quality distance between training images and generated ones.
"""

from __future__ import annotations

import math

from stylegan2.ablation.plan.study import Run, Study
from stylegan2.ablation.plan.variants import Variant, nest
from stylegan2.coordinates.plan import VARIANTS
from stylegan2.files import yaml_text
from stylegan2.optimum.plan import Plan
from stylegan2.optimum.study import Point

IMAGES = 1000
"""Generated images for the quality distance."""


def study_of(plan: Plan) -> Study:
    """The study that trains every variant at every size with every value."""
    variants = [
        Variant(name=_name(curve, value), overlay=nest(_options(plan, *of_curve, value)), control=None)
        for curve, of_curve in plan.curves.items()
        for value in plan.values
    ]
    return Study(out=plan.out, variants=variants, seeds=plan.seeds, kimg=plan.kimg, images=IMAGES)


def base(plan: Plan) -> str:
    """The options that all trainings share, as YAML text."""
    options = {
        "data.path": plan.data,
        "metrics.names": ["random_frechet"],
        "metrics.images": IMAGES,
        "model.generator.mapping_layers": 2,
        "model.discriminator.mapping_layers": 2,
    }
    return yaml_text(nest(options))


def points(plan: Plan, study: Study, run: Run) -> dict[float, Point]:
    """What has been measured with each value, on one curve with one seed. Failed trainings are left out."""
    found = {}
    for value in plan.values:
        training = Run(variant=_name(run.variant, value), seed=run.seed)
        result = study.result(training)
        if result is None or result.status == "failed":
            continue
        if result.status == "diverged":
            found[value] = Point(value=value, status="diverged", why=result.why)
        else:
            distance = result.curve[-1][1] if result.curve else math.inf
            found[value] = Point(value=value, score=distance)
    return found


def _name(curve: str, value: float) -> str:
    return f"{curve}-{value:g}"


def _options(plan: Plan, variant: str, number: int, value: float) -> dict[str, object]:
    """The options of a training by their dotted names."""
    size = plan.size(number)
    options: dict[str, object] = {
        "data.resolution": size.resolution,
        "batch": size.batch,
        "model.generator.z_dim": size.latent_dim,
        "model.generator.w_dim": size.width,
        f"model.{plan.name}": value,
    }
    for network in ("generator", "discriminator"):
        options[f"model.{network}.channel_base"] = size.width * size.resolution
        options[f"model.{network}.channel_max"] = size.width
    for name, setting in VARIANTS[variant].items():
        options[f"model.{'path_length' if name == 'normalize_by_image_size' else 'scalings'}.{name}"] = (
            setting
        )
    return options
