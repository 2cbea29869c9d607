"""Rules that turn the measurements of a generator and a discriminator into findings, with place, number and factor.

The limits are calibrated on networks of the official construction, which are healthy by definition here, and on the
mildest known fault of each kind.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from statistics import median

from stylegan2.blackbox.construction_rules import ACTIVATION, ROUNDING, construction_findings, factor_of
from stylegan2.blackbox.discriminator import DiscriminatorNumbers
from stylegan2.blackbox.generator import GeneratorNumbers
from stylegan2.probing.findings import Finding, fault, listed, note

IGNORED, WEAK = 0.02, 0.2
"""Smallest share of the image's rms that is due to z, at any time and at the start. Official networks have 0.65 to
0.78 at the start, networks whose latents have unit length 0.05 to 0.13, and without activation gain 0.003."""

COUPLING = 1e-5
"""Largest change of an image by other latents of its batch. It is 0 or a rounding error in batches of equal size."""

STYLE = 0.25
"""Smallest mean of styles over their rms. It is 0.71 with a bias of 1 and weights of unit variance, and 0 without."""


def generator_findings(m: GeneratorNumbers) -> Iterator[Finding]:
    """The findings on a generator."""
    if not math.isfinite(m.rms):
        yield fault(
            "non-finite images",
            f"G: the rms of the images is {m.rms}; likely cause: an overflow or a root of 0",
        )
        return
    yield from _latent(m)
    yield from _noise(m)
    if m.doubled > ROUNDING and any(layer.modulated for layer in m.layers):
        yield fault(
            "latent scale leaks",
            f"G: images change by {m.doubled:.2g} of their std across z when z doubles, should be 0; likely cause: "
            "the latent is not divided by its rms before the mapping network",
        )
    if m.coupling > COUPLING:
        kind = note if m.training and m.batch_norm else fault
        yield kind(
            "samples depend on each other",
            f"G: an image changes by {m.coupling:.2g} of its rms when only other latents of the batch change, should "
            "be 0; likely cause: a statistic or a normalization over the batch (batch norm in training mode)",
        )
    if m.saturated > 0.5:
        yield fault(
            "saturated images",
            f"G: {m.saturated:.0%} of the values are at the bound of the output, should be few; likely cause: a gain "
            "that is too large before tanh",
        )
    if not 0.01 < m.rms < 10:
        yield fault("image size", f"G: the rms of the images is {m.rms:.3g}, should be about 1 (0.01 to 10)")
    yield from _structure("G", m, "image")
    styles = [layer for layer in m.layers if layer.modulated and layer.style is not None]
    flat = [layer for layer in styles if (layer.style or 0.0) < STYLE]
    if m.initial and flat and len(flat) == len(styles):
        yield note(
            "style bias",
            f"G: {flat[0].place}: the mean of the styles is {flat[0].style:.2g} of their rms, should be about 0.7 at "
            f"the start ({len(flat)} layers); likely cause: the biases of the affine layers start at 0 instead of 1",
        )
    yield from construction_findings("G", m.layers, m.activations, m.sums, m.filters)


def _latent(m: GeneratorNumbers) -> Iterator[Finding]:
    limit = WEAK if m.initial else IGNORED
    if m.share < limit:
        linear = [layer for layer in m.layers if layer.op in ("linear", "addmm", "matmul", "__matmul__")]
        causes = []
        if linear and linear[0].input_rms < 0.5:
            size, width = linear[0].input_rms, linear[0].fan_in
            unit = abs(size * math.sqrt(width) - 1) < 0.1
            kind = f"1/√{width}: it is divided by its length, not by its rms" if unit else "not 1"
            causes.append(
                f"z enters {linear[0].place} with an rms of {size:.3g} ({kind}; {factor_of(size, width)})"
            )
        causes += [f"{name} is zero everywhere" for name in m.zero_maps[:1] if m.share == 0]
        ratio = [a.gain for a in m.activations if a.gain < ACTIVATION[0]]
        if ratio:
            causes.append(
                f"each activation leaves {median(ratio):.2f} of the rms, {len(ratio)} of {len(m.activations)} "
                f"times, such "
                "as without its gain of √2"
            )
        yield fault(
            "latent ignored" if m.share < IGNORED else "latent weak",
            f"G: the std of the image across z is {m.share:.2g} of its rms, should be 0.65 to 0.78 (limit {limit}); "
            f"likely cause: {'; '.join(causes) or 'the path from z to the image loses the signal'}",
        )
    unused = [i for i, change in enumerate(m.slices) if change < 1e-3]
    if unused and len(unused) < len(m.slices):
        yield fault(
            "part of z ignored",
            f"G: parts {unused} of {len(m.slices)} of z have no influence on the image; likely cause: a slice or a "
            "reshape that drops them",
        )


def _noise(m: GeneratorNumbers) -> Iterator[Finding]:
    size = max(m.rms, 1e-30)
    shared = m.std_call_at_1 > 1e-3 * size and m.std_noise_at_1 < 1e-4 * size
    if shared or m.shared_draws:
        yield fault(
            "noise shared by the batch",
            f"G: images of equal z differ by {m.std_call_at_1:.2g} across calls and by "
            f"{m.std_noise_at_1:.2g} within a "
            f"batch, should be equal{': ' + listed(m.shared_draws, 2) if m.shared_draws else ''}; likely "
            f"cause: noise "
            "is drawn once for the batch, (1, 1, H, W), not for each sample",
        )
    elif m.std_call_at_1 < 1e-6 * size:
        yield note(
            "no noise",
            "G: the same z gives the same image in every call, so the images have no random detail",
        )


def discriminator_findings(m: DiscriminatorNumbers) -> Iterator[Finding]:
    """The findings on a discriminator."""
    if not math.isfinite(m.logit_rms):
        yield fault(
            "non-finite logits", f"D: the rms of the logits is {m.logit_rms}; likely cause: an overflow"
        )
        return
    equal = m.logit_std < 1e-6 * max(m.logit_rms, 1e-6)
    if equal and m.images_seen > 1:
        yield fault(
            "logits of a batch are equal",
            f"D: all logits of a batch are equal and depend on {m.images_seen} of its {m.batch} images; likely "
            "cause: a mean over the batch",
        )
    elif equal:
        yield fault(
            "logits ignore images",
            f"D: the std of the logits across images is {m.logit_std:.2g}, not about 1",
        )
    elif m.sensitivity < 1e-12:
        yield fault(
            "logits have no gradient",
            f"D: the logits differ between images (std {m.logit_std:.2g}), and their gradient with respect to the "
            f"images has a norm of {m.sensitivity:.2g}, so G cannot learn; likely cause: rounding, argmax or detach",
        )
    if m.sigmoid:
        yield note(
            "bounded logits",
            "D: the last operation is a sigmoid, so the results are probabilities; this is right for a binary cross "
            "entropy of probabilities, and wrong for losses of logits, such as softplus or a hinge",
        )
    yield from _structure("D", m, "logits")
    if m.images_seen > m.gradients_seen == 1:
        yield fault(
            "minibatch statistic has no gradient",
            f"D: a logit depends on {m.images_seen} of {m.batch} images and has a gradient at 1 of them, so G does "
            "not learn to spread a batch; likely cause: the statistic is detached",
        )
    if m.images_seen == 1 and m.batch > 1 and m.appends_statistic:
        yield fault(
            "minibatch statistic sees one image",
            f"D: a statistic is appended to the features, but a logit depends on 1 of {m.batch} images, should be on "
            "all of its group; likely cause: the standard deviation is over channels or pixels, not over samples",
        )
    elif m.images_seen == 1 and m.batch > 1:
        text = f"D: a logit depends on 1 of {m.batch} images, so D cannot see that a batch is all alike"
        yield note("no minibatch stddev", f"{text}; the official discriminator appends the minibatch stddev")
    if not m.finite:
        yield fault(
            "infinite gradient",
            "D: the gradient is not finite if all images are equal; likely cause: the root of a variance of "
            "exactly 0 "
            "(add 1e-8 below the root)",
        )
    if m.logit_rms > 100:
        yield fault(
            "logit size", f"D: the rms of the logits is {m.logit_rms:.3g} at the start, should be about 1"
        )
    yield from construction_findings("D", m.layers, m.activations, m.sums, m.filters)


def _structure(letter: str, m: GeneratorNumbers | DiscriminatorNumbers, what: str) -> Iterator[Finding]:
    """Parts whose result has no effect, and normalizations that leave nothing."""
    if m.idle:
        kind = fault if m.training else note
        yield kind(
            "parameters without effect",
            f"{letter}: {listed(m.idle)}: the {what} does not depend on {len(m.idle)} parts; likely cause: a layer "
            "that is called and whose result is not used, or that is never called",
        )
    if m.vanished:
        yield fault(
            "normalization leaves nothing",
            f"{letter}: {m.vanished[0]}: a normalization returns less than 0.001 of what it gets; likely cause: it "
            "is over a single number, such as instance normalization of a map of one pixel",
        )
