"""Rules on derivatives inside a training step: R1, path length, how often they come, and what reaches the weights."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median

from stylegan2.blackbox.events import Derivative
from stylegan2.blackbox.watching import Watch
from stylegan2.probing.findings import Finding, fault

CLOSE = 0.02
"""Largest relative difference of a weight from the one that is meant."""


@dataclass(kw_only=True)
class Penalty:
    """All evaluations of one penalty."""

    name: str
    letter: str
    """The network that it trains."""
    what: str
    """What the derivative is with respect to."""
    derivatives: list[Derivative]
    meant: float | None
    """The weight that it is meant to have: γ of R1, or 2 for path length."""
    every: int = field(init=False)
    """Iterations between two evaluations. 1: it came once at most."""
    weight: float = field(init=False)
    """The weight that reaches the network, as a multiple of the definition's. NaN: not known."""

    def __post_init__(self) -> None:
        at = self.iterations
        self.every = round(median(b - a for a, b in zip(at, at[1:]))) if len(at) > 1 else 1
        weights = [
            d.weight * (d.slope**2 if math.isfinite(d.slope) else 1.0)
            for d in self.derivatives
            if math.isfinite(d.weight)
        ]
        self.weight = median(weights) if weights else math.nan

    @property
    def iterations(self) -> list[int]:
        return sorted({d.iteration for d in self.derivatives})

    def __str__(self) -> str:
        if not math.isfinite(self.weight):
            return "not known"
        return f"{self.weight:.4g} every {self.every} iterations, so {self.weight / self.every:.4g} for each"


def penalties(watch: Watch, gamma: float | None, path_length_weight: float | None) -> list[Penalty]:
    """R1 and path length, as they were seen."""
    images = [d for d in watch.derivatives if d.of.endswith("images")]
    ws = [d for d in watch.derivatives if d.of == "ws"]
    return [
        Penalty(name="R1", letter="D", what="images", derivatives=images, meant=gamma),
        Penalty(name="path length", letter="G", what="ws", derivatives=ws, meant=path_length_weight),
    ]


def penalty_findings(
    watch: Watch, found: Sequence[Penalty], numbers: Mapping[str, Sequence[float]], iterations: int
) -> Iterator[Finding]:
    """Findings on the penalties.

    Args:
        watch: What was watched.
        found: The penalties of `penalties`.
        numbers: Running means of the path length after each iteration, by name.
        iterations: How often the step ran.
    """
    r1, length = found
    if r1.derivatives and not any(d.of == "real images" for d in r1.derivatives):
        yield fault(
            "R1 on generated images",
            f"the gradient penalty is taken at generated images in all {len(r1.derivatives)} evaluations, should "
            "be at real ones",
        )
    for penalty in found:
        yield from _graph(penalty, watch)
        yield from _weight(penalty)
    yield from _path_length(length.derivatives)
    for name, values in numbers.items():
        if length.derivatives and len(values) > 1 and max(values) - min(values) < 1e-9:
            yield fault(
                "path length mean not updated",
                f"{name} stays at {values[0]:.4g} over {iterations} iterations with {len(length.derivatives)} "
                "evaluations of path length, should move by 1 % of the way to the mean length each time",
            )


def _graph(penalty: Penalty, watch: Watch) -> Iterator[Finding]:
    """Whether the penalty has a gradient that an optimizer uses, at equal distances."""
    bad = [d for d in penalty.derivatives if not d.create_graph]
    if bad:
        yield fault(
            f"{penalty.name} has no gradient",
            f"torch.autograd.grad with respect to {penalty.what} has create_graph=False {len(bad)} of "
            f"{len(penalty.derivatives)} times, so the penalty does not reach the weights; should be "
            "create_graph=True",
        )
    good = [d for d in penalty.derivatives if d.create_graph]
    own = {id(p) for p in watch.networks[penalty.letter].parameters()}
    stepped = {
        id(event)
        for step in watch.steps
        if any(id(p) in own for g in watch.optimizers[step.optimizer].param_groups for p in g["params"])
        for event in step.backwards
    }
    if good and not any(d.used for d in good):
        yield fault(
            f"{penalty.name} never reaches the weights",
            f"{penalty.name}: its derivative was taken {len(good)} times, and no backward pass went through it; "
            "likely cause: the penalty is not part of a loss, or it is detached",
        )
    elif any(d.backwards for d in good) and not any(id(e) in stepped for d in good for e in d.backwards):
        yield fault(
            f"{penalty.name} never reaches the weights",
            f"{penalty.name}: no optimizer of {penalty.letter} stepped on its gradients after "
            f"{len(good)} evaluations; likely cause: they are zeroed first, or another optimizer steps",
        )
    at = penalty.iterations
    if len({b - a for a, b in zip(at, at[1:])}) > 1:
        yield fault(
            "cadence", f"{penalty.name} is evaluated in iterations {at}, should be at equal distances"
        )


def _weight(penalty: Penalty) -> Iterator[Finding]:
    """Whether the penalty counts as often as its cadence says."""
    if penalty.meant is None or not math.isfinite(penalty.weight):
        return
    every = penalty.every
    right = penalty.meant * every
    ratio = penalty.weight / right
    if abs(ratio - 1) < CLOSE:
        return
    causes = {
        1 / every: f"the factor {every} of lazy regularization is missing",
        float(every): "that factor twice",
    }
    causes |= {2.0: "a factor of 2", 0.5: "a factor of ½"}
    cause = next((text for value, text in causes.items() if abs(ratio / value - 1) < CLOSE), f"×{ratio:.4g}")
    yield fault(
        f"{penalty.name} weight",
        f"{penalty.name} reaches {penalty.letter} with a weight of {penalty.weight:.4g} every {every} iterations, "
        f"should be {penalty.meant:g}·{every} = {right:.4g}; likely cause: {cause}",
    )


def _path_length(derivatives: Sequence[Derivative]) -> Iterator[Finding]:
    bad = [d for d in derivatives if not d.reaches_mapping]
    if bad:
        yield fault(
            "path length stops at ws",
            f"ws of shape {bad[0].shape} were not computed from parameters in {len(bad)} of {len(derivatives)} "
            "evaluations, so path length does not train the mapping network; likely cause: ws are detached",
        )
    sizes = [d.noise for d in derivatives if math.isfinite(d.noise)]
    if sizes and not 0.8 < median(sizes) < 1.25:
        yield fault(
            "path length noise",
            f"path length: the noise y has an rms of {median(sizes):.3g}/√(H·W), should be 1/√(H·W); likely cause: "
            "it is not divided by √(H·W), or divided by H·W",
        )
