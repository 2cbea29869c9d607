"""What can be wrong with a pair of networks and their losses, each a check on measured numbers.

Every threshold is stated where it is defined, with its reason. Those of arithmetic (filters, path length,
minibatch stddev) leave room for rounding alone; those of signal stand half way, in ratio, between what the
method gives and what its mildest known fault gives.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch

from ..training import StyleGAN2
from . import anatomy, influence
from .measure import Finding, Probe

ROUNDING = 0.02
"""Relative departure from exact arithmetic: float16 rounds by 0.0005, sums of many values by more."""

IGNORED = 0.02
"""Share of the image's rms that is due to z: below it differences are one or two steps of an 8-bit image."""

WEAK = 0.2
"""The same at initialisation: default networks give 0.45 to 1, latents divided by √512 0.05 to 0.12."""

GROWTH = (0.894, 1.189)
"""Gain of a block. 1 by design; 0.80 in a residual block without activation gain, √2 without residual gain;
these are the roots of both."""

DEAD_NOISE = 1e-3
"""Noise of strength 1 moves the image by about its own rms; a thousandth of it is none."""

EMA_FAR = 0.5
"""Relative distance of the average from the weights. Averaging n steps of lr = 0.0025 in random directions
leaves about lr·√(n/3), 0.03 for the 450 steps of the default; another initialisation is at √2."""

RGB_GAIN = (math.sqrt(0.5), math.sqrt(2))
"""Gain of an image layer. 1 by design; √in ≥ 2 without its factor 1/√in from 4 channels on."""


def fault(name: str, text: str) -> Finding:
    return Finding(name=name, text=text)


def _latent(model: StyleGAN2, g: Probe, numbers: Mapping, parts: Mapping) -> list[Finding]:
    std, size = numbers["image_std_z"], numbers["image_rms"]
    share, limit = std / max(size, 1e-30), IGNORED if model.iteration else WEAK
    if not math.isfinite(share) or share >= limit:
        return []
    entering = g["mapping.fc0"].input_rms
    layers = [row for row in g.rows if row.name.startswith("mapping.fc")]
    kept = (layers[-1].rms / layers[0].input_rms) ** (1 / len(layers))
    causes = []
    if entering < 0.5:
        causes.append(
            f"latents enter the mapping network at rms {entering:.3g} instead of 1 "
            "(scalings.latent_normalization)"
        )
    if kept < 0.85:
        causes.append(
            f"each mapping layer keeps ×{kept:.2f} of the rms instead of ×1 (scalings.activation_gain)"
        )
    cause = "; ".join(causes) or (
        f"w varies by {numbers['w_std_z']:.2g} across z, so what follows it drops it"
        if numbers["w_std_z"] > 0.1
        else f"w itself varies by only {numbers['w_std_z']:.2g} across z"
    )
    name = "latent ignored" if share < IGNORED else "latent weak"
    return [
        fault(
            name,
            f"std across z {std:.2g}, should be about {0.6 * size:.2g} (0.6 of the image's rms "
            f"{size:.2g}; limit {limit:g} of it); likely cause: {cause}",
        )
    ]


def _noise(model: StyleGAN2, g: Probe, numbers: Mapping, parts: Mapping) -> list[Finding]:
    if not model.scalings.noise:
        return [
            Finding(name="no noise", text="scalings.noise is off: images have no random detail", fault=False)
        ]
    strong, dead = numbers["image_std_noise_at_strength_1"], numbers["dead_noise_layers"]
    if strong >= DEAD_NOISE * numbers["image_rms"] and not dead:
        return []
    where = f"no gradient reaches the strength in {', '.join(dead)}" if dead else "no layer passes it on"
    return [
        fault(
            "dead noise",
            f"std across noise {strong:.2g} at strength 1, should be about {numbers['image_rms']:.2g}; "
            f"{where}; likely cause: noise multiplied by a constant zero, detached, or added where it is "
            "overwritten",
        )
    ]


def _rows(model: StyleGAN2, g: Probe, numbers: Mapping, parts: Mapping) -> list[Finding]:
    found, right = len(numbers["rows"]), anatomy.used_rows(model.generator)
    unused = [i for i, change in enumerate(numbers["rows"]) if change == 0]
    if found == right and not unused:
        return []
    return [
        fault(
            "ws rows",
            f"{found} rows of ws, should be 2·log2({model.generator.resolution}) - 2 = {right}; rows "
            f"without influence on the image: {unused or 'none'}; likely cause: image layers given rows "
            "of their own",
        )
    ]


def _filters(model: StyleGAN2, g: Probe, numbers: Mapping, parts: Mapping) -> list[Finding]:
    wrong = {k: v for k, v in parts["filter_gains"].items() if not abs(v - 1) <= ROUNDING}
    if not wrong:
        return []
    name, gain = next(iter(wrong.items()))
    return [
        fault(
            "FIR gain",
            f"a constant image leaves {name} at ×{gain:.3g}, should be ×1 ({len(wrong)} of "
            f"{len(parts['filter_gains'])} stages are wrong); likely cause: scalings.upsample_gain, taps "
            "not normalised to sum 1, or the factor up² for inserted zeros is missing",
        )
    ]


def _depth(model: StyleGAN2, g: Probe, numbers: Mapping, parts: Mapping) -> list[Finding]:
    found = []
    for letter, network in (("G", "generator"), ("D", "discriminator")):
        gains = list(parts[f"block_gains_{network}"].values())
        if not gains or min(gains) == 0 or not all(map(math.isfinite, gains)):
            continue
        mean = math.exp(sum(map(math.log, gains)) / len(gains))
        if GROWTH[0] <= mean <= GROWTH[1]:
            continue
        if mean > 1:
            cause = "scalings.residual_gain, weight_scaling or style_normalization"
        else:
            cause = "scalings.activation_gain, upsample_gain or weight_scaling"
        found.append(
            fault(
                f"{'exploding' if mean > 1 else 'vanishing'} depth",
                f"rms goes ×{mean:.3g} a block of {letter}, ×{mean ** len(gains):.3g} over its "
                f"{len(gains)} blocks, should be ×1 (limits {GROWTH[0]} and {GROWTH[1]}); likely cause: "
                f"{cause}",
            )
        )
    return found


def _styles(model: StyleGAN2, g: Probe, numbers: Mapping, parts: Mapping) -> list[Finding]:
    found = []
    for name, response in parts["style_response"].items():
        expected = 2 if name.endswith("torgb") else 1
        if abs(response - expected) <= ROUNDING * expected:
            continue
        if expected == 1:
            text = (
                f"doubled styles scale {name} by {response:.3g}, should be 1: the scale of styles "
                "multiplies over layers; likely cause: no demodulation (scalings.style_normalization)"
            )
            found.append(fault("style scale leaks", text))
        else:
            text = f"doubled styles scale {name} by {response:.3g}, should be 2; likely cause: demodulation"
            found.append(fault("image layer demodulated", text))
        break  # one layer tells it for all
    for name, layer in parts["image_layers"].items():
        if layer["nonlinearity"] > ROUNDING:
            text = (
                f"{name} departs from a straight line by {layer['nonlinearity']:.2f} of its output, "
                "should be 0 (a leaky ReLU gives 0.67); likely cause: an activation after the image layer"
            )
            found.append(fault("activation on ToRGB", text))
            break
        if not RGB_GAIN[0] <= layer["gain"] <= RGB_GAIN[1]:
            text = (
                f"{name} scales its features by {layer['gain']:.3g}, should be 1; likely cause: styles of "
                "image layers without their factor 1/√in (scalings.weight_scaling)"
            )
            found.append(fault("image layer gain", text))
            break
    affines = [layer.affine for layer in influence.synthesis_layers(model.generator)]
    mean = sum(affine.bias.mean().item() * affine.bias_gain for affine in affines) / len(affines)
    if not model.iteration and abs(mean - 1) > 0.5:
        found.append(
            fault(
                "styles not around 1",
                f"the mean bias of the styles is {mean:.2g}, should be 1 at the start; likely cause: "
                "scalings.style_bias_init",
            )
        )
    return found


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


CHECKS = (_latent, _noise, _rows, _filters, _depth, _styles, _stddev, _penalties, _average)
