"""Rules on the construction of a network: the gains of its layers, activations, sums and filters."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from statistics import geometric_mean, median

from stylegan2.blackbox.layers import ActivationGain, Filter, Layer, Sum
from stylegan2.probing.findings import Finding, fault

ROUNDING = 0.02

LAYER = (0.85, 1.18)
"""Limits of the gain of a layer whose network keeps unit variance. √2 and √½ are the mildest faults: 2^(±1/4)."""

IMAGE_LAYER = (0.5, 2.4)
"""Limits of the gain of an image layer with styles around 1 of variance 1, which is √2. Without 1/√in it is at least
√2·√4 from 4 channels on."""

ACTIVATION = (0.86, 1.2)
"""Limits of the gain of an activation with its factor. It is 1.02 with √2, 0.72 without and 1.44 with the double."""

BLOCK = 1.09
"""Largest growth of the rms per sum of branches. It is 0.7 to 0.99 in official discriminators on smooth images, and
1.1 to 1.40 without 1/√2."""

KEPT = 0.84
"""Smallest factor behind a sum over the one that keeps the variance. It is 1 for 1/√2, and √½ for ½: 2^(-1/4)."""


def factor_of(ratio: float, fan_in: int | None = None) -> str:
    """The likely factor that a ratio of a measured to a right number is."""
    candidates = {
        "√2": math.sqrt(2),
        "2": 2.0,
        "√½": math.sqrt(0.5),
        "½": 0.5,
        "4 = up²": 4.0,
        "¼ = 1/up²": 0.25,
    }
    if fan_in:
        candidates |= {
            f"√fan_in = √{fan_in}": math.sqrt(fan_in),
            f"1/√fan_in = 1/√{fan_in}": 1 / math.sqrt(fan_in),
        }
        candidates |= {f"k² = {k * k}": float(k * k) for k in (3,)} | {"k = 3": 3.0}
    name = min(candidates, key=lambda key: abs(math.log(max(ratio, 1e-30) / candidates[key])))
    near = abs(math.log(max(ratio, 1e-30) / candidates[name])) < 0.12
    return f"a factor of {name}" if near else f"a factor of {ratio:.3g}"


def construction_findings(
    letter: str,
    layers: Sequence[Layer],
    activations: Sequence[ActivationGain],
    sums: Sequence[Sum],
    filters: Sequence[Filter],
) -> Iterator[Finding]:
    """Findings on the construction of a network: gains of layers, activations, sums and filters."""
    free = [
        layer for layer in layers if not layer.normalized and math.isfinite(layer.gain) and layer.gain > 0
    ]
    kept = [layer for layer in free if abs(layer.gain - 1) < 0.1]
    xavier = [layer for layer in free if abs(layer.gain / layer.xavier - 1) < 0.1]
    unit = len(free) > 2 and len(kept) >= max(len(free) / 3, len(xavier))
    images = [layer for layer in layers if layer.modulated and layer.outputs <= 4]
    for layer in [i for i in images if i.demodulated and not i.normalized][:1]:
        yield fault(
            "image layer demodulated",
            f"{letter}: {layer.place}: all kernels of this layer to {layer.outputs} channels have length "
            f"{layer.gain:.3g}, as demodulation makes them, so styles cannot change the contrast; should have none",
        )
    styles = [layer for layer in layers if layer.modulated and layer.outputs > 4]
    loose = [layer for layer in styles if not layer.demodulated and not layer.normalized]
    for layer in loose[:1]:
        yield fault(
            "style scale leaks",
            f"{letter}: {layer.place}: kernels have lengths that differ between samples and outputs (rms gain "
            f"{layer.gain:.3g}), should have length 1, since the scales of styles multiply over layers "
            f"({len(loose)} of {len(styles)} layers); likely cause: no demodulation",
        )
    if unit:
        wrong = [layer for layer in free if not _is_right(layer, images)]
        for layer in wrong[:3]:
            right = math.sqrt(2) if layer in images else 1.0
            name = "image layer gain" if layer in images else "layer gain"
            yield fault(
                name,
                f"{letter}: {layer.place}: {layer.op} multiplies independent inputs by {layer.gain:.3g}, should be "
                f"{right:.3g} as in {len(kept)} of {len(free)} layers; likely cause: "
                f"{factor_of(layer.gain / right, layer.fan_in)} in this layer ({len(wrong)} layers like this)",
            )
        yield from _activation_findings(letter, activations)
    elif len(free) > 2 and not any(layer.normalized for layer in layers):
        gains = [layer.gain for layer in free]
        whole = geometric_mean(gains)
        ratio = geometric_mean([a.gain for a in activations]) if activations else 1.0
        if not 0.4 < whole * ratio < 2.5:
            worst = (
                free[0] if abs(math.log(free[0].gain)) > 1 else max(free, key=lambda x: abs(math.log(x.gain)))
            )
            yield fault(
                "layer gain",
                f"{letter}: layers multiply by {whole:.3g} on average, times {ratio:.2g} of the activations, should "
                f"be 1; {worst.place}: {worst.gain:.3g}; likely cause: {factor_of(worst.gain, worst.fan_in)}",
            )
    yield from _sum_findings(letter, sums)
    bad = [f for f in filters if abs(f.total / f.right - 1) > ROUNDING]
    for found in bad[:1]:
        yield fault(
            "FIR gain",
            f"{letter}: {found.place}: the taps of a filter sum to {found.total:.3g}, should be {found.right:.3g} "
            f"({len(bad)} of {len(filters)} filters are wrong); likely cause: "
            f"{factor_of(found.total / found.right)} in the filter",
        )


def _is_right(layer: Layer, images: Sequence[Layer]) -> bool:
    low, high = IMAGE_LAYER if layer in images else LAYER
    margin = 3 / math.sqrt(2 * layer.fan_in * max(layer.outputs, 1))  # of the rms of so many random numbers
    return low / (1 + margin) < layer.gain < high * (1 + margin)


def _activation_findings(letter: str, activations: Sequence[ActivationGain]) -> Iterator[Finding]:
    free = [a for a in activations if not a.to_sum]
    wrong = [a for a in free if not ACTIVATION[0] < a.gain < ACTIVATION[1]]
    if wrong:
        ratio = median(a.gain for a in wrong) / 1.02
        yield fault(
            "activation gain",
            f"{letter}: {wrong[0].place}: {wrong[0].op} and its factor multiply the rms by "
            f"{wrong[0].gain:.3g}, should "
            f"be 1.02 ({len(wrong)} of {len(free)} activations are wrong); likely cause: {factor_of(ratio)} at the "
            "activation, whose gain is √2 for leaky ReLU",
        )


def _sum_findings(letter: str, sums: Sequence[Sum]) -> Iterator[Finding]:
    blocks = [s for s in sums if s.block_gain and s.block_gain > 0 and s.channels > 4]
    if not blocks:
        return
    growth = geometric_mean([s.block_gain or 1.0 for s in blocks])
    kept = geometric_mean([s.factor / s.gain for s in blocks])
    if len(blocks) > 1 and (growth > BLOCK or kept < KEPT):
        first = blocks[0]
        cause = (
            "1/√2 is missing"
            if growth > BLOCK
            else f"the factor {first.factor:.3g}, such as ½ instead of 1/√2"
        )
        yield fault(
            "residual gain",
            f"{letter}: {first.place}: a sum of branches with rms {first.branches[0]:.3g} and "
            f"{first.branches[1]:.3g} and correlation {first.correlation:.2f}; over {len(blocks)} sums the "
            f"rms changes "
            f"by ×{growth:.3g} each, should be at most {BLOCK}; a factor of {first.gain:.3g} on the sum "
            f"keeps the mean "
            f"variance of the branches, and it has {first.factor:.3g}; likely cause: {cause}",
        )
