"""What can be wrong with the losses, their step and the running average, each a check on measured numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch

from stylegan2.probing.checks import ROUNDING
from stylegan2.probing.findings import Finding, fault
from stylegan2.probing.measure import Probe
from stylegan2.training.module import StyleGAN2

EMA_FAR = 0.5
"""Relative distance of the average from the weights. Averaging n steps of lr = 0.0025 in random directions
leaves about lr·√(n/3), 0.03 for the 450 steps of the default; another initialisation is at √2."""


def _stddev(model: StyleGAN2, g: Probe, numbers: Mapping, parts: Mapping) -> list[Finding]:
    errors, found = parts["minibatch_stddev"], []
    if errors is None:
        text = (
            "the discriminator sees no statistics of the batch (scalings.minibatch_stddev): modes may "
            "collapse"
        )
        found.append(Finding(name="no minibatch stddev", text=text, fault=False))
    elif not errors["error"] <= ROUNDING:
        known = {
            "unbiased": "variance divided by G - 1 instead of G",
            "scalar": "one number for the whole batch instead of one a group",
        }
        cause = next((text for key, text in known.items() if errors[key] <= ROUNDING), "unknown")
        text = (
            f"the appended channel is {errors['error']:.1%} off a computation sample by sample, should be "
            f"below {ROUNDING:.0%}; likely cause: {cause}"
        )
        found.append(fault("minibatch stddev wrong", text))
    part, group = model.batch_per_device or model.batch, model.discriminator.minibatch_group
    if errors and (part == 1 or part % min(group or part, part)):
        text = (
            f"{part} images are taken at once, which makes no groups of {group or 'two or more'} (one alone "
            "has no standard deviation); likely cause: batch_per_device or minibatch_group"
        )
        found.append(fault("minibatch stddev groups", text))
    if not parts["identical_images_finite"]:
        text = (
            "∇ₓD is NaN for a batch of equal images; likely cause: the standard deviation's root of an "
            "exact zero, without + 1e-8"
        )
        found.append(fault("NaN gradient", text))
    return found


def _penalties(model: StyleGAN2, g: Probe, numbers: Mapping, parts: Mapping) -> list[Finding]:
    found = []
    got, right = torch.tensor(parts["path_lengths"]), torch.tensor(parts["path_lengths_independent"])
    resolution, rows = model.generator.resolution, model.generator.num_ws
    if len(got) != len(right):
        text = (
            f"{len(right)} samples give {len(got)} path lengths, should give one a sample; likely cause: "
            f"the mean runs over the batch instead of the {rows} rows of ws"
        )
        found.append(fault("path length axis", text))
    elif right.min() > 0:
        ratio = (got / right).mean().item()
        if abs(ratio / resolution - 1) <= 3 * ROUNDING:
            text = (
                f"lengths are {ratio:.3g} times those of an independent computation, which is √(H·W) = "
                f"{resolution}; likely cause: y not divided by √(H·W) "
                "(path_length.normalize_by_image_size)"
            )
            found.append(fault("path length grows with the image", text))
        elif not ((got / right - 1).abs() <= 3 * ROUNDING).all():
            text = (
                f"lengths are {ratio:.3g} times those of an independent computation, should be 1; likely "
                f"cause: a sum or mean over the wrong axis (√{rows} rows = {math.sqrt(rows):.3g}, "
                f"√{model.generator.w_dim} dimensions = {math.sqrt(model.generator.w_dim):.3g})"
            )
            found.append(fault("path length axis", text))
    if not parts["zero_length_finite"]:
        text = (
            "a path length of exactly 0 gives a NaN gradient; likely cause: √ at 0, whose slope is infinite"
        )
        found.append(fault("NaN gradient", text))
    r1, expected = numbers["r1"], numbers["r1_expected"]
    if math.isfinite(expected) and abs(r1 - expected) > 3 * ROUNDING * abs(expected):
        text = (
            f"R1 is {r1:.3g}, should be γ/2·mean ‖∇ₓD‖² = {expected:.3g}; likely cause: a mean over "
            "pixels or batch before the square"
        )
        found.append(fault("R1 wrong", text))
    return found


def _lazy(model: StyleGAN2, g: Probe, numbers: Mapping, parts: Mapping) -> list[Finding]:
    found = []
    steps = max(model.r1.every, model.path_length.every) + 1
    for name, every in (("r1", model.r1.every), ("path_length", model.path_length.every)):
        weights = parts["penalty_weights"][name]
        found += interval_findings(name, list(weights), steps, every)
        wrong = [w for w in weights.values() if not math.isclose(w, every, rel_tol=ROUNDING)]
        if wrong:
            text = (
                f"{name} enters a training step times {wrong[0]:.3g}, should be times {every}, being "
                f"evaluated every {every} iterations; likely cause: scalings.lazy_regularization_correction, "
                "or a factor applied twice"
            )
            found.append(fault("penalty weight", text))
    pairs = zip("GD", parts["optimizers"], (model.path_length.every, model.r1.every))
    for letter, settings, every in pairs:
        c = every / (every + 1) if every else 1.0
        lr, betas = model.learning_rate * c, [beta**c for beta in model.betas]
        if math.isclose(settings["lr"], lr, rel_tol=1e-6) and all(
            math.isclose(a, b, rel_tol=1e-6, abs_tol=1e-12) for a, b in zip(settings["betas"], betas)
        ):
            continue
        text = (
            f"{letter}'s Adam has lr {settings['lr']:.5g} and betas {settings['betas']}, should have "
            f"{lr:.5g} and {[round(b, 5) for b in betas]} for a penalty every {every} iterations (c = "
            f"{c:.3f}); likely cause: scalings.lazy_regularization_correction"
        )
        found.append(fault("optimiser not corrected", text))
    return found


def interval_findings(name: str, fired: list[int], steps: int, every: int, start: int = 0) -> list[Finding]:
    """Whether a penalty fired at every `every`-th iteration; `fired` counts from the `start`-th."""
    right = [i for i in range(steps) if every and (start + i) % every == 0]
    if fired == right:
        return []
    text = (
        f"{name} was evaluated at iterations {fired[:6]} of {steps}, should be at {right[:6]} (every "
        f"{every}); likely cause: the interval counts optimiser steps (Lightning's global_step)"
    )
    return [fault("lazy interval", text)]


def _average(model: StyleGAN2, g: Probe, numbers: Mapping, parts: Mapping) -> list[Finding]:
    if model.average is None:
        text = "samples come from the generator itself (model.ema is null)"
        return [Finding(name="no EMA", text=text, fault=False)]
    distance, limit = numbers["ema_distance"], EMA_FAR if model.iteration else 1e-6
    found = []
    if not distance <= limit:
        text = (
            f"the average is {distance:.2g} of the weights' length from the weights at iteration "
            f"{model.iteration}, should be below {limit:g}; likely cause: it is not updated, missing from "
            "the checkpoint, or its half-life is longer than the run"
        )
        found.append(fault("EMA far", text))
    w_avg = model.generator.mapping.w_avg
    if not torch.allclose(model.average.mapping.w_avg, w_avg, rtol=1e-3, atol=1e-5):
        off = (model.average.mapping.w_avg - w_avg).norm() / w_avg.norm().clamp_min(1e-30)
        text = f"w_avg of the average is {off:.2g} off the generator's, should be equal: buffers are copied"
        found.append(fault("EMA far", text))
    return found


LOSS_CHECKS = (_stddev, _penalties, _lazy, _average)
