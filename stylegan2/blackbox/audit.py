"""`audit`: run somebody's own training step some times, watch it, and say what is wrong with it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from stylegan2.blackbox import means
from stylegan2.blackbox.average_rules import average_findings, mean_findings
from stylegan2.blackbox.penalty_rules import penalties, penalty_findings
from stylegan2.blackbox.training_rules import SHIFT, training_findings
from stylegan2.blackbox.watching import Watch
from stylegan2.errors import InputError
from stylegan2.probing.findings import Finding


@dataclass(kw_only=True)
class Averages:
    """How the running average and the running numbers moved."""

    betas: dict[str, list[float]] = field(default_factory=dict)
    """By parameter: the factor β of each iteration, a ← β·a + (1 - β)·x, by least squares."""
    stale_buffers: list[str] = field(default_factory=list)
    numbers: dict[str, list[float]] = field(default_factory=dict)
    """By name: the path length's running mean after each iteration, where one was found."""


@dataclass(frozen=True, kw_only=True)
class Audit:
    """The result of `audit`."""

    iterations: int
    findings: list[Finding]
    summary: dict[str, Any]

    @property
    def faults(self) -> list[Finding]:
        return [f for f in self.findings if f.fault]

    def __str__(self) -> str:
        lines = [f"{name:<44}{value}" for name, value in self.summary.items()]
        return "\n".join([*lines, "", *(map(str, self.findings) if self.findings else ["No fault found."])])


def audit(
    step: Callable[..., object],
    *,
    generator: nn.Module,
    discriminator: nn.Module,
    average: nn.Module | None = None,
    optimizers: Sequence[torch.optim.Optimizer] = (),
    iterations: int = 18,
    gamma: float | None = None,
    path_length_weight: float | None = None,
) -> Audit:
    """Watch somebody's training step while it runs. It trains: give copies of networks that must not change.

    Args:
        step: Function without arguments that runs one iteration of training, or with one argument, its number.
        generator: The network that makes images.
        discriminator: The network that returns logits.
        average: The running average of the generator. None: there is none.
        optimizers: All optimizers.
        iterations: How often the step runs, and once more with other logits at the end. Lazy penalties are seen twice
            from interval + 2 iterations on.
        gamma: The γ that R1 is meant to have. None: the weight that reaches D is printed and not judged.
        path_length_weight: The weight that path length is meant to have. It is 2 in the paper. None: as for γ.

    Raises:
        InputError: There is no optimizer, or a network is not a module.
    """
    if not optimizers:
        raise InputError(
            "Expected the optimizers of the training step, found none. Give optimizers=[opt_g, opt_d]."
        )
    for name, network in (("generator", generator), ("discriminator", discriminator)):
        if not isinstance(network, nn.Module):
            raise InputError(f"Expected {name} to be a torch.nn.Module, found {type(network).__name__}.")
    takes = _takes_number(step)
    averages = Averages()
    of_w = means.start(generator)
    with Watch(generator, discriminator, optimizers) as watch:
        for iteration in range(iterations):
            before = {k: p.detach().clone() for k, p in average.named_parameters()} if average else {}
            step(iteration) if takes else step()
            if average is not None:
                for name, beta in _betas(before, generator, average):
                    averages.betas.setdefault(name, []).append(beta)
            for name, value in _path_length_means(step).items():
                averages.numbers.setdefault(name, []).append(value)
            for name, vector in means.vectors(generator).items():
                if name in of_w:
                    of_w[name].step(vector, watch.w_means)
            watch.next_iteration()
    if average is not None:
        theirs = dict(average.named_buffers())
        averages.stale_buffers = [
            name
            for name, buffer in generator.named_buffers()
            if name in theirs
            and buffer.is_floating_point()
            and not torch.allclose(buffer, theirs[name], 1e-3, 1e-5)
        ]
    with Watch(generator, discriminator, optimizers, SHIFT) as shifted:
        step(iterations) if takes else step()
    found = penalties(watch, gamma, path_length_weight)
    findings = [
        *training_findings(watch, shifted, average),
        *penalty_findings(watch, found, averages.numbers, iterations),
        *mean_findings(of_w),
        *(average_findings(averages) if average is not None else ()),
    ]
    derivatives = sorted({(d.of, d.iteration) for d in watch.derivatives})
    summary = {
        "iterations": iterations,
        "calls of the discriminator": len(watch.scores),
        "backward passes": len(watch.backwards),
        "optimizer steps": len(watch.steps),
        "derivatives (with respect to, iteration)": ", ".join(f"{of}: {i}" for of, i in derivatives)
        or "none",
        **{f"weight of {p.name}": str(p) for p in found if p.derivatives},
        **{
            f"{name}: distance from the mean of w": f"{m.distance:.3g} of its length"
            for name, m in of_w.items()
            if m.named and m.means
        },
        "rows at which ws change": ", ".join(str(row) for row, _ in watch.crossovers[:12]) or "not seen",
    }
    return Audit(iterations=iterations, findings=findings, summary=summary)


def _takes_number(step: Callable[..., object]) -> bool:
    code = getattr(getattr(step, "__func__", step), "__code__", None)
    if code is None:
        return False
    count = code.co_argcount - len(getattr(step, "__defaults__", None) or ()) - hasattr(step, "__self__")
    return bool(count > 0)


def _betas(
    before: Mapping[str, Tensor], generator: nn.Module, average: nn.Module
) -> Iterator[tuple[str, float]]:
    """β of each parameter of the average. NaN: the average equals the weights before and after."""
    source = dict(generator.named_parameters())
    for name, new in average.named_parameters():
        if name not in source or source[name].shape != new.shape:
            continue
        old, x = before[name].float(), source[name].detach().float()
        move, whole = (new.detach().float() - old).flatten(), (x - old).flatten()
        size = float(whole @ whole)
        yield name, 1 - float(move @ whole) / size if size > 1e-20 else float("nan")


def _path_length_means(step: Callable[..., object]) -> dict[str, float]:
    """Numbers that look like the path length's running mean, in the variables that the step uses."""
    names: dict[str, object] = {}
    function = getattr(step, "__func__", step)
    code = getattr(function, "__code__", None)
    for name, cell in zip(getattr(code, "co_freevars", ()), getattr(function, "__closure__", None) or ()):
        try:
            names[name] = cell.cell_contents
        except ValueError:
            continue
    used = getattr(function, "__globals__", {})
    names |= {name: used[name] for name in getattr(code, "co_names", ()) if name in used}
    for owner in [getattr(step, "__self__", None), *names.values()]:
        if isinstance(owner, nn.Module):
            names |= dict(owner.named_buffers())
        elif owner is not None and hasattr(owner, "__dict__") and not callable(owner):
            names |= vars(owner)
        elif isinstance(owner, dict):
            names |= {str(k): v for k, v in owner.items()}
    found = {}
    for name, value in list(names.items()):
        if re.search(r"(path|pl).*(mean|avg|average)|(mean|avg).*(path|pl)", name):
            number = isinstance(value, (int, float)) or (isinstance(value, Tensor) and value.numel() == 1)
            if number and not isinstance(value, bool):
                found[name] = float(value)  # type: ignore[arg-type]
    return found
