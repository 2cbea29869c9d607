"""What can be wrong with a pair of networks, each a check on measured numbers (losses: loss_checks).

Every threshold is stated where it is defined, with its reason. Those of arithmetic (filters, path length,
minibatch stddev) leave room for rounding alone; those of signal stand half way, in ratio, between what the
method gives and what its mildest known fault gives.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from stylegan2.probing import anatomy, influence
from stylegan2.probing.findings import Finding, fault
from stylegan2.probing.measure import Probe
from stylegan2.probing.precision import LARGE, ROUNDINGS
from stylegan2.training.module import StyleGAN2

ROUNDING = 0.02
"""Relative departure from exact arithmetic: float16 rounds by 0.0005, sums of many values by more."""

IGNORED = 0.02
"""Share of the image's rms that is due to z: below it differences are one or two steps of an 8-bit image."""

WEAK = 0.2
"""The same at initialisation: default networks give 0.48 to 1.1, latents divided by √512 0.05 to 0.13."""

GROWTH = (0.894, 1.189)
"""Gain of a block. 1 by design; 0.80 in a residual block without activation gain, √2 without residual gain;
these are the roots of both."""

DEAD_NOISE = 1e-3
"""Noise of strength 1 moves the image by about its own rms; a thousandth of it is none."""

RGB_GAIN = (math.sqrt(0.5), math.sqrt(2))
"""Gain of an image layer. 1 by design; √in ≥ 2 without its factor 1/√in from 4 channels on."""


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


def _latent_scale(model: StyleGAN2, g: Probe, numbers: Mapping, parts: Mapping) -> list[Finding]:
    change = parts["doubled_latent"]
    if change <= ROUNDING:
        return []
    text = (
        f"doubled latents change w by {change:.2g} of its rms, should be 0: a latent's length is no content; "
        "likely cause: latents not divided by their rms (scalings.latent_normalization)"
    )
    return [fault("latent scale leaks", text)]


def _precision(model: StyleGAN2, g: Probe, numbers: Mapping, parts: Mapping) -> list[Finding]:
    found: dict[str, Finding] = {}
    for name, block in parts["low_precision"].items():
        where, limit = f"{name} in {block['dtype']}", ROUNDINGS * block["eps"]
        if not block["error"] <= limit:
            cause = "styles normalised at the wrong place, or a sum beyond the type's range"
            if block["before_affine"] <= limit:
                cause = (
                    "w divided by max|w| before the affine layer, not the styles after it: the bias is not"
                )
            text = (
                f"{where} differs from itself in full precision by {block['error']:.2g} of its output, "
                f"should be below {limit:.2g}; likely cause: {cause}"
            )
            found.setdefault("low precision wrong", fault("low precision wrong", text))
        elif block["large"] is not None and not block["large"] <= limit:
            text = (
                f"{where} is off by {block['large']:.2g} of its output with weights and styles times "
                f"{LARGE:g}, should be below {limit:.2g} (demodulation takes the factor out); likely cause: "
                "weights not divided by max|w|·√fan_in, or styles by max|s|, ahead of the convolution"
            )
            found.setdefault("low precision overflow", fault("low precision overflow", text))
        if block["dtype"] == "float16" and not block["bounded"]:
            text = (
                f"{where} has no bound on its activations, should be ±256: float16 ends at 65504; likely "
                "cause: scalings.clamp"
            )
            found.setdefault("no clamp", fault("no clamp", text))
    return list(found.values())


NETWORK_CHECKS = (_latent, _latent_scale, _noise, _rows, _filters, _depth, _styles, _precision)
