"""Rules for any network: what its signals, its gradients and its structure say. They know no architecture."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from statistics import geometric_mean
from typing import TYPE_CHECKING

from stylegan2.probing.findings import Finding, fault, listed, note

if TYPE_CHECKING:
    from stylegan2.probing.measure.layers import Probe, Row

EXTREME = 100.0
"""Largest change of the rms between the inputs of two layers of any network. With unit variance it is a factor of
about 3. In 18 networks of torchvision at their initialization it is at most 36."""

EXPLODED, PER_LAYER = 1000.0, 1.12
"""Largest norm of the gradient at a layer over its norm at the output: 1000, or 1.12 to the power of the number of
layers. Layers that keep the gradient give about 1, and plain stacks of batch norm and ReLU 1.2 per layer. The largest
of 18 networks of torchvision, Inception v3 with 94 layers, gives 404 for 4 images and 2500 (1.09 per layer) for 2."""

STANDARDIZED = 10.0
"""Largest rms of inputs from which the chain of signals starts. Larger ones, such as pixels up to 255, are units
that the network is expected to change."""

SATURATED = 0.05
"""Largest share of values at a clamp, about the share of a normal distribution beyond two standard deviations. With
a larger share, the clamp changes the signal and not only its outliers."""


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What a probe knows of the network as a whole."""

    training: bool = True
    input_rms: float | None = None
    output_rms: float | None = None
    output_gradient: float | None = None
    """Norm of the gradient of the loss with respect to all outputs."""
    selects: bool = False
    """Whether some layers may rightly have no gradient: the outputs are losses, which may choose what they look at
    (such as hard negatives), or evaluation chose among them (integers beside numbers, as detectors return)."""
    uncalled: list[str] = field(default_factory=list)
    """Modules with trainable parameters that were never called and have no gradient."""
    zero_initialized: list[str] = field(default_factory=list)
    """Parameters that are zero everywhere and keep gradients from layers."""
    blocked: list[str] = field(default_factory=list)
    """Layers that have a gradient as soon as these parameters are not zero."""
    fresh_norms: list[str] = field(default_factory=list)
    """Batch normalizations without statistics, which were measured with those of the batch."""
    scripted: list[str] = field(default_factory=list)
    """Scripted modules, whose inside cannot be measured."""


def signal_findings(probe: Probe, where: str = "") -> Iterator[Finding]:
    """Faults of any network: non-finite values, exploding or vanishing signals, saturated clamps, no gradients.

    `where` is a name for the network, which is put before each text.
    """
    where = f"{where}: " if where else ""
    layers = probe.layers
    broken = next((i for i, row in enumerate(layers) if row.nonfinite), len(layers))
    for row in layers[broken : broken + 1]:  # everything after it is NaN too
        yield fault(
            "non-finite values",
            f"{where}{row.name}: {row.nonfinite:.1%} of its output is NaN or infinite; likely cause: an earlier "
            "overflow, or a root or logarithm of zero",
        )
    for row in layers[:broken]:
        if row.clamped is not None and row.clamped > SATURATED:
            yield fault(
                "saturated clamp",
                f"{where}{row.name}: {row.clamped:.1%} of its values are at the clamp, should be below "
                f"{SATURATED:.0%}; likely cause: the clamp is too low, or the signal grows with depth",
            )
    depth = list(_depth(layers[:broken], probe.facts, where))
    yield from depth or _growing_gradients(layers[:broken], probe.facts, where)  # one cause, one finding
    yield from _no_gradients(layers[:broken], probe.facts, where)
    yield from _structure(layers, probe.facts, where)


def chain(layers: list[Row], facts: Facts) -> list[tuple[str, float]]:
    """The signal along the network: rms of its input, of the input of each layer with weights, and of its output.

    The outputs of layers are not used, because a branch may be as small as its author likes: only what enters
    the next layer counts. The output of a head that is initialized smaller than the other layers is left out.
    """
    weighted = [
        row for row in layers if row.weight is not None and row.input_rms and not row.contains_modules
    ]
    signal = [(row.name, row.input_rms) for row in weighted if row.input_rms and math.isfinite(row.input_rms)]
    size = facts.input_rms
    if size and math.isfinite(size):
        signal.insert(0, ("the input", size))
    if weighted and weighted[-1].rms and math.isfinite(weighted[-1].rms):
        last, entering = weighted[-1], weighted[-1].input_rms or math.nan
        typical = min((entering / signal[0][1]) ** (1 / max(len(weighted) - 1, 1)), 1.0) if signal else 1.0
        if last.rms / entering > typical / 2:
            signal.append((f"the output of {last.name}", last.rms))
    return signal


def _depth(layers: list[Row], facts: Facts, where: str) -> Iterator[Finding]:
    signal = chain(layers, facts)
    if signal and signal[0][0] == "the input":
        small = len(signal) > 1 and signal[1][1] > signal[0][1]  # it may be brought to unit size
        signal = signal[1:] if small or signal[0][1] > STANDARDIZED else signal
    if len(signal) > 2 and signal[0][1] > STANDARDIZED:  # pixels up to 255 enter the first layer
        signal = signal[1:]
    if len(signal) < 2:
        return
    (start, first), (end, last) = signal[0], max(signal[1:], key=lambda s: abs(math.log(s[1] / signal[0][1])))
    change = last / first
    if not 1 / EXTREME < change < EXTREME:
        steps = [row for row in layers if row.weight is not None and row.input_rms and row.rms > 0]
        worst = max(steps, key=lambda row: abs(math.log(row.rms / (row.input_rms or 1))), default=None)
        detail = ""
        if worst and worst.input_rms:
            typical = geometric_mean([row.rms / (row.input_rms or 1) for row in steps])
            detail = (
                f"; the layers multiply by {typical:.3g} on average, and {worst.name} by "
                f"{worst.rms / worst.input_rms:.3g}"
            )
        yield fault(
            f"{'exploding' if change > 1 else 'vanishing'} depth",
            f"{where}rms goes from {first:.3g} ({start}) to {last:.3g} ({end}), ×{change:.3g}, should stay within "
            f"×{EXTREME:.0f}{detail}; likely cause: a gain or an initialization that does not keep unit variance",
        )


def _growing_gradients(layers: list[Row], facts: Facts, where: str) -> Iterator[Finding]:
    entering = facts.output_gradient
    norms = [
        (row.gradient * math.sqrt(math.prod(row.shape)), row.name)
        for row in layers
        if row.gradient and math.isfinite(row.gradient) and row.weight is not None
    ]
    limit = max(EXPLODED, PER_LAYER ** len(norms))
    if entering and norms and (largest := max(norms))[0] > limit * entering:
        norm, name = largest
        yield fault(
            "exploding gradient",
            f"{where}{name}: the norm of the gradient grows from {entering:.3g} at the output to {norm:.3g}, "
            f"×{norm / entering:.3g}, should stay within ×{limit:.3g}; likely cause: a gain above 1 in the layers "
            "behind it, whose signal a normalization hides",
        )


def _no_gradients(layers: list[Row], facts: Facts, where: str) -> Iterator[Finding]:
    if facts.output_gradient is None:
        yield note(
            "no gradient measured",
            f"{where}no output depends on the parameters through operations with a gradient, so gradients and steps "
            "were not measured",
        )
        return
    dead = [row.name for row in layers if row.step == 0 and row.name not in facts.blocked]
    if dead:
        finding = note if facts.selects else fault
        yield finding(
            "no gradient",
            f"{where}{listed(dead)}: {len(dead)} of {len(layers)} layers have no gradient; likely cause: a detached "
            "or unused branch, or a factor of zero",
        )


def _structure(layers: list[Row], facts: Facts, where: str) -> Iterator[Finding]:
    if facts.blocked:
        yield note(
            "zero-initialized",
            f"{where}{listed(facts.zero_initialized)} are zero at the start and keep the first gradient from "
            f"{len(facts.blocked)} of {len(layers)} layers, such as {listed(facts.blocked, 3)}; the layers have a "
            "gradient as soon as these parameters have moved",
        )
    if facts.uncalled:
        finding = fault if facts.training else note
        yield finding(
            "never called",
            f"{where}{listed(facts.uncalled)}: {len(facts.uncalled)} modules with parameters were never called and "
            "have no gradient, so they do not train; likely cause: forward does not use them",
        )
    if facts.fresh_norms:
        yield note(
            "batch norm without statistics",
            f"{where}{listed(facts.fresh_norms, 3)}: {len(facts.fresh_norms)} batch normalizations are in evaluation "
            "mode and have seen no data; they were measured with the statistics of these inputs",
        )
    if facts.scripted:
        yield note(
            "scripted modules",
            f"{where}{listed(facts.scripted)}: the inside of a scripted module cannot be measured; probe the module "
            "before torch.jit.script",
        )
