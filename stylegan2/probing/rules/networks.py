"""Rules that turn measured numbers into faults and notes, with an explanation in words.

Each threshold has its reason beside it. Thresholds on exact arithmetic allow for rounding only. Thresholds on signals
are the geometric mean of what the method gives and what its mildest known fault gives.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from statistics import fmean, geometric_mean
from typing import TYPE_CHECKING

from stylegan2.probing.findings import Finding as Finding
from stylegan2.probing.findings import fault as fault
from stylegan2.probing.findings import note as note
from stylegan2.probing.rules.signals import signal_findings

if TYPE_CHECKING:
    from stylegan2.probing.measure.networks import ModelProbe

ROUNDING = 0.02
"""Largest relative difference from exact arithmetic. float16 rounds by 0.0005, and sums of many values by more."""

ROUNDINGS = 8
"""Largest difference of a low-precision block from itself in full precision, in units of its type's eps. Default
networks give 0.5 to 1.2 in both types and all architectures. The mildest known mistake gives 50 in bfloat16 and 400
in float16."""

IGNORED = 0.02
"""Smallest share of the image's rms that is due to z. A smaller share is one or two steps of an 8-bit image."""

WEAK = 0.2
"""The same at initialization. Default networks give 0.48 to 1.1, and latents divided by √512 give 0.05 to 0.13."""

GROWTH = (0.894, 1.189)
"""Limits of the gain of a block. The gain is 1 by design, 0.80 in a residual block without activation gain, and √2
without residual gain. The limits are the square roots of 0.80 and √2."""

IMAGE_LAYER_GAIN = (math.sqrt(0.5), math.sqrt(2))
"""Limits of the gain of an image layer. It is 1 by design. Without the factor 1/√in it is √in, at least 2 from 4
channels on."""

UNEVEN = 3.0
"""Largest ratio of the relative Adam steps of two layers. It is 1 with equalized weights. Without them it is the
square root of the ratio of the fan-ins, √(9·32/3) = 10 in the smallest discriminator."""

EMA_FAR = 0.5
"""Largest relative distance of the generator EMA from the weights. The EMA of n steps of lr = 0.0025 in random
directions lags by about lr·√(n/3), which is 0.03 for the 450 steps of the default. Unrelated networks have
distance √2."""


def existing(value: float | None) -> float:
    """A number that exists for the layer in question. NaN for None."""
    return math.nan if value is None else value


# Generator, discriminator and their losses


def model_findings(m: ModelProbe) -> Iterator[Finding]:
    """The findings of all rules on a measured model."""
    yield from signal_findings(m.generator, "G")
    yield from signal_findings(m.discriminator, "D")
    for rule in (_latent, _rows, _filters, _depth, _styles, _precision, _features, _losses, _steps, _ema):
        yield from rule(m)


def _latent(m: ModelProbe) -> Iterator[Finding]:
    std, size = m.numbers["image_std_z"], m.numbers["image_rms"]
    share, limit = std / max(size, 1e-30), IGNORED if m.iteration else WEAK
    if math.isfinite(share) and share < limit:
        layers = [row for row in m.generator.rows if row.name.startswith("mapping.fc")]
        entering, w_std = existing(layers[0].input_rms), m.numbers["w_std_z"]
        factor = (layers[-1].rms / entering) ** (1 / len(layers))
        causes = []
        if entering < 0.5:
            causes.append(
                f"latents enter the mapping network at rms {entering:.3g} instead of 1 "
                "(scalings.latent_normalization)"
            )
        if factor < 0.85:
            causes.append(
                f"each mapping layer multiplies the rms by {factor:.2f} instead of 1 (scalings.activation_gain)"
            )
        if not causes and w_std > 0.1:
            causes.append(f"w varies by {w_std:.2g} across z, so the synthesis network ignores it")
        yield fault(
            "latent ignored" if share < IGNORED else "latent weak",
            f"the image's std across z is {std:.2g}, should be about {0.6 * size:.2g} (0.6 of the image's rms "
            f"{size:.2g}; the limit is {limit:g} of it); likely cause: "
            f"{'; '.join(causes) or f'w itself varies by only {w_std:.2g} across z'}",
        )
    change = m.blocks["doubled_latent"]
    if change > ROUNDING:
        yield fault(
            "latent scale leaks",
            f"doubled latents change w by {change:.2g} of its rms, should be 0, since w should not depend on the "
            "length of a latent; likely cause: latents are not divided by their rms (scalings.latent_normalization)",
        )


def _rows(m: ModelProbe) -> Iterator[Finding]:
    unused = [i for i, change in enumerate(m.numbers["rows"]) if change == 0]
    if unused:
        yield fault(
            "ws rows",
            f"rows {unused} of ws, out of {len(m.numbers['rows'])}, have no influence on the image; likely cause: "
            "styles that do not depend on w, or a normalization that cancels them",
        )


def _filters(m: ModelProbe) -> Iterator[Finding]:
    gains = m.blocks["filter_gains"]
    wrong = [name for name, gain in gains.items() if not abs(gain - 1) <= ROUNDING]
    if wrong:
        yield fault(
            "FIR gain",
            f"{wrong[0]} multiplies a constant image by {gains[wrong[0]]:.3g}, should be by 1 ({len(wrong)} of "
            f"{len(gains)} stages are wrong); likely cause: scalings.upsample_gain, or filter taps whose sum is "
            "not positive",
        )


def _depth(m: ModelProbe) -> Iterator[Finding]:
    for letter, network in (("G", "generator"), ("D", "discriminator")):
        gains = list(m.blocks[f"block_gains_{network}"].values())
        if not gains or min(gains) == 0 or not all(map(math.isfinite, gains)):
            continue
        mean, designed = geometric_mean(gains), m.settings["designed_growth"][network]
        low, high = GROWTH[0] * min(designed, 1), GROWTH[1] * max(designed, 1)
        if low <= mean <= high:
            continue
        others = "residual_gain" if mean > 1 else "activation_gain, upsample_gain"
        yield fault(
            f"{'exploding' if mean > 1 else 'vanishing'} depth",
            f"the rms grows by ×{mean:.3g} per block of {letter}, ×{mean ** len(gains):.3g} over its {len(gains)} "
            f"blocks, should be ×1 (limits {low:.3g} and {high:.3g}); likely cause: scalings.{others}, "
            "weight_scaling or style_normalization",
        )


def _styles(m: ModelProbe) -> Iterator[Finding]:
    responses = {k: v for k, v in m.blocks["style_response"].items() if not k.endswith("torgb")}
    wrong = [name for name, response in responses.items() if not abs(response - 1) <= ROUNDING]
    for name in wrong[:1]:  # the others have the same cause
        yield fault(
            "style scale leaks",
            f"doubled styles scale {name} by {responses[name]:.3g}, should be 1, since the scales of the styles "
            "multiply over layers; likely cause: no demodulation (scalings.style_normalization)",
        )
    gains, (low, high) = m.blocks["image_layer_gains"], IMAGE_LAYER_GAIN
    for name in [k for k, v in gains.items() if not low <= v <= high][:1]:
        yield fault(
            "image layer gain",
            f"{name} scales its features by {gains[name]:.3g}, should be 1; likely cause: image layers without "
            "their factor 1/√in (scalings.weight_scaling)",
        )
    mean = m.numbers["style_bias"]
    if not m.iteration and abs(mean - 1) > 0.5:
        yield fault(
            "styles not around 1",
            f"the mean bias of the styles is {mean:.2g}, should be 1 at the start; likely cause: "
            "scalings.style_bias_init",
        )


def _precision(m: ModelProbe) -> Iterator[Finding]:
    found: dict[str, Finding] = {}
    for name, block in m.blocks["low_precision"].items():
        where, limit = f"{name} in {block['dtype']}", ROUNDINGS * block["eps"]
        if not block["error"] <= limit:
            text = (
                f"{where} differs from itself in full precision by {block['error']:.2g} of its output, should be "
                f"below {limit:.2g}; likely cause: weights, styles or sums beyond the type's range"
            )
            found.setdefault("low precision wrong", fault("low precision wrong", text))
        if block["dtype"] == "float16" and not block["bounded"]:
            text = (
                f"{where} has no bound on its activations, should be ±256, since float16 overflows above 65504; "
                "likely cause: scalings.clamp"
            )
            found.setdefault("no clamp", fault("no clamp", text))
    yield from found.values()


def _features(m: ModelProbe) -> Iterator[Finding]:
    if not m.settings["noise"]:
        yield note("no noise", "scalings.noise is off, so images have no random detail")
    if not m.settings["minibatch_stddev"]:
        text = "scalings.minibatch_stddev is off, so the discriminator cannot see mode collapse in a batch"
        yield note("no minibatch stddev", text)
        return
    images, group = m.settings["images_at_once"], m.settings["minibatch_group"]
    if images == 1 or images % min(group or images, images):
        yield fault(
            "minibatch stddev groups",
            f"a micro-batch of {images} images does not divide into groups of {group or 'two or more'} (a single "
            "image has no standard deviation); likely cause: batch_per_device or minibatch_group",
        )


def _losses(m: ModelProbe) -> Iterator[Finding]:
    ratio = m.numbers["path_length"] / max(m.numbers["path_length_normalized"], 1e-30)
    if abs(ratio - 1) > ROUNDING and math.isfinite(ratio):
        yield fault(
            "path length grows with the image",
            f"path lengths are {ratio:.3g} times those with y/√(H·W), should be equal (√(H·W) is "
            f"{m.settings['resolution']}); likely cause: path_length.normalize_by_image_size",
        )
    for name, penalty in m.settings["penalties"].items():
        if not math.isclose(penalty["weight"], penalty["every"], rel_tol=ROUNDING):
            yield fault(
                "penalty weight",
                f"a training step multiplies {name} by {penalty['weight']:.3g}, should be by {penalty['every']}, "
                f"since it is evaluated every {penalty['every']} iterations; likely cause: "
                "scalings.lazy_regularization_correction",
            )
    for letter, adam in m.settings["optimizers"].items():
        c = adam["every"] / (adam["every"] + 1) if adam["every"] else 1.0
        lr, betas = m.settings["learning_rate"] * c, [beta**c for beta in m.settings["betas"]]
        pairs = zip([adam["lr"], *adam["betas"]], [lr, *betas])
        if not all(math.isclose(a, b, rel_tol=1e-6, abs_tol=1e-12) for a, b in pairs):
            yield fault(
                "optimizer not corrected",
                f"{letter}'s Adam has lr {adam['lr']:.5g} and betas {adam['betas']}, should have {lr:.5g} and "
                f"{[round(b, 5) for b in betas]} for a penalty every {adam['every']} iterations (c = {c:.3f}); "
                "likely cause: scalings.lazy_regularization_correction",
            )


def _steps(m: ModelProbe) -> Iterator[Finding]:
    """Adam's relative steps at initialization. Training changes the size of the weights, and so these steps."""
    if m.iteration:
        return
    for letter, p in (("G", m.generator), ("D", m.discriminator)):
        steps = {r.name: r.step for r in p.layers if r.step and not r.name.startswith("mapping.")}
        fast, slow = (f(steps, key=steps.__getitem__, default="") for f in (max, min))
        if steps and steps[fast] > UNEVEN * steps[slow]:
            yield fault(
                "uneven steps",
                f"one Adam step changes {letter}.{fast} by {steps[fast]:.2g} of its weights and {slow} by "
                f"{steps[slow]:.2g}, a ratio of {steps[fast] / steps[slow]:.3g}, should be 1 (limit {UNEVEN:g}); "
                "likely cause: the factor 1/√fan_in is in the stored weights (scalings.weight_scaling)",
            )
    steps = {row.name: row.step for row in m.generator.layers if row.step}
    mapping = [step for name, step in steps.items() if name.startswith("mapping.fc")]
    others = [step for name, step in steps.items() if not name.startswith("mapping.")]
    if mapping and others and (ratio := fmean(mapping) / fmean(others)) > 0.3:
        yield fault(
            "mapping network too fast",
            f"the relative Adam step of mapping layers is {ratio:.2g} times that of other layers, should be 0.01; "
            "likely cause: scalings.mapping_lr_multiplier",
        )


def _ema(m: ModelProbe) -> Iterator[Finding]:
    if "ema_distance" not in m.numbers:
        yield note("no EMA", "model.ema is null, so the generator itself makes the samples")
        return
    distance, limit = m.numbers["ema_distance"], EMA_FAR if m.iteration else 1e-6
    if not distance <= limit:
        yield fault(
            "EMA far",
            f"the relative distance of the generator EMA from the weights at iteration {m.iteration} is "
            f"{distance:.2g}, should be below {limit:g}; likely cause: the EMA is not updated, is missing from "
            "the checkpoint, or has a half-life longer than the run",
        )
    if not m.numbers["ema_w_avg_distance"] <= 1e-3:
        yield fault(
            "EMA far",
            f"w_avg of the generator EMA differs from the generator's by {m.numbers['ema_w_avg_distance']:.2g}, "
            "relative, should be equal; likely cause: buffers are not copied",
        )
