"""One forward and backward pass through any module, which measures signal, gradient and step of every layer."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from stylegan2.errors import InputError
from stylegan2.files import text_table
from stylegan2.probing.findings import Finding
from stylegan2.probing.measure.isolation import (
    fresh_batch_norms,
    initialized,
    restored,
    using_batch_statistics,
    without_zeros,
    zero_initialized,
)
from stylegan2.probing.measure.recording import Recording, kind_of, record, rms, weight_and_step
from stylegan2.probing.measure.values import all_tensors, call_arguments, float_tensors
from stylegan2.probing.rules.signals import Facts, signal_findings


@dataclass(frozen=True, kw_only=True)
class Row:
    """Measurements of one call of one module. None means that the number does not exist for this module."""

    name: str
    kind: str
    leaf: bool
    """Whether the module has parameters of its own or contains no modules. The table shows these rows."""
    contains_modules: bool
    shape: tuple[int, ...]
    input_rms: float | None
    rms: float
    mean: float
    nonfinite: float
    """Share of the output's values that are NaN or infinite."""
    clamped: float | None
    """Share of the output's values that are at the bound given by the module's attribute `clamp`."""
    gradient: float | None
    """rms of the gradient of the loss with respect to the output."""
    weight: float | None
    """rms of the weights as they are used, after run-time factors and demodulation."""
    step: float | None
    """rms of Adam's first step, lr·g/(|g| + ε), over the rms of the stored weights. Run-time factors scale both,
    so the relative step of the weights as they are used is the same."""

    def cells(self) -> list[str]:
        """The row as texts, one for each heading in COLUMNS."""
        numbers = (self.rms, self.mean, self.gradient, self.weight, self.step, self.clamped)
        return [self.name or "(itself)", self.kind, "×".join(map(str, self.shape)), *map(number, numbers)]


COLUMNS = ["layer", "kind", "output", "rms", "mean", "gradient rms", "weight rms", "Adam step", "clamped"]


@dataclass(frozen=True, kw_only=True)
class Probe:
    """The result of `probe`: rows in the order of the forward pass, the loss, and the faults found."""

    rows: list[Row]
    loss: float | None
    """None: no output depends on a parameter through operations with a gradient, and no loss was given."""
    facts: Facts = field(default_factory=Facts)
    findings: list[Finding] = field(default_factory=list)

    def __getitem__(self, name: str) -> Row:
        """The row of the layer with this name.

        Raises:
            KeyError: There is no such layer. The message lists the names of all layers.
        """
        for row in self.rows:
            if row.name == name:
                return row
        raise KeyError(f"no layer {name!r}; the layers are {', '.join(row.name for row in self.rows)}")

    @property
    def layers(self) -> list[Row]:
        return [row for row in self.rows if row.leaf]

    def to_dict(self) -> dict[str, Any]:
        """Plain data, for JSON."""
        return asdict(self)

    def __str__(self) -> str:
        return "\n".join([text_table(COLUMNS, [r.cells() for r in self.layers]), *map(str, self.findings)])


def probe(
    module: nn.Module,
    inputs: object,
    loss: Callable[..., Tensor] | None = None,
    *,
    learning_rate: float = 0.002,
    seed: int = 0,
) -> Probe:
    """Run a forward and a backward pass through any module, and record what every layer does to the signal.

    The module's weights, buffers, mode and gradients, and the random state, are afterwards what they were before.
    Parameters with `requires_grad=False` have no step, unless all parameters are like this.

    Args:
        module: Any network, on any device, in the mode in which it is to be probed. A copy of a module with lazy
            parameters is initialized and probed.
        inputs: A tuple of positional arguments; a mapping of keyword arguments, or the single argument if
            `forward` has no arguments of these names; or any other single argument, such as a tensor, a list, a
            dataclass or a packed sequence.
        loss: Function of the module's output that returns a scalar. None: the sum of the floating-point outputs
            times N(0, 1), so that a gradient of rms 1 enters every output.
        learning_rate: Adam's learning rate, for the column "Adam step".
        seed: Seed of everything random in the pass.

    Returns:
        One row for each call of each module. `print` shows a table and `to_dict()` returns plain data.

    Raises:
        InputError: The module is not one, or the loss is not a scalar.
    """
    if not isinstance(module, nn.Module):
        raise InputError(
            f"Expected a torch.nn.Module to probe, found {type(module).__name__}. Give the network."
        )
    args, kwargs = call_arguments(module, inputs)
    module = initialized(module, args, kwargs)
    frozen = {id(p) for p in module.parameters() if not p.requires_grad}
    frozen = frozen if len(frozen) < len(list(module.parameters())) else set()
    fresh = fresh_batch_norms(module)
    with ExitStack() as stack:
        stack.enter_context(restored(module, seed))
        stack.enter_context(using_batch_statistics(list(fresh.values())))
        try:
            recording, outputs, value = _forward(module, args, kwargs, loss)
        except ValueError as error:
            if not fresh or "more than 1 value per channel" not in str(error):
                raise
            fresh = {}
            stack.close()
            stack.enter_context(restored(module, seed))
            recording, outputs, value = _forward(module, args, kwargs, loss)
        gradients, entering = _gradients(module, outputs, value)
        rows = []
        for layer, numbers in recording.calls:
            weight, step = weight_and_step(layer, gradients, frozen, learning_rate)
            rows.append(Row(kind=kind_of(layer), weight=weight, step=step, **numbers))
        facts = _facts(module, recording, gradients, frozen, (args, kwargs))
        facts = replace(facts, output_gradient=entering, fresh_norms=list(fresh))
        dead = {row.name for row in rows if row.step == 0}
        if dead and entering and (zeros := zero_initialized(module)):
            alive = _layers_with_gradients(module, args, kwargs, loss, list(zeros.values()), seed)
            blocked = [row.name for row in rows if row.name in dead & alive]
            facts = replace(facts, zero_initialized=list(zeros) if blocked else [], blocked=blocked)
    found = Probe(rows=rows, loss=None if value is None else float(value.detach()), facts=facts)
    return replace(found, findings=list(signal_findings(found)))


def _forward(
    module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], loss: Callable[..., Tensor] | None
) -> tuple[Recording, list[Tensor], Tensor | None]:
    """A recorded forward pass, its outputs with a gradient, and the loss."""
    recording = record(module, args, kwargs)
    outputs = [out for out in float_tensors(recording.output) if out.requires_grad]
    if loss is None:
        terms = [(out * torch.randn_like(out)).sum().cpu() for out in outputs]
        return recording, outputs, torch.stack([t.float() for t in terms]).sum() if terms else None
    value = loss(recording.output)
    if not isinstance(value, Tensor) or value.numel() != 1:
        found = f"shape {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
        raise InputError(
            f"Expected a loss that returns a scalar tensor, found {found}. Return its mean or its sum."
        )
    return recording, outputs, value


def _gradients(
    module: nn.Module, outputs: list[Tensor], value: Tensor | None
) -> tuple[dict[int, Tensor], float | None]:
    """Gradients of the parameters by id, and the norm of the gradient that enters the outputs.

    The norm is None if the loss has no gradient.
    """
    if value is None or not value.requires_grad:
        return {}, None
    parameters = [p for p in module.parameters() if p.requires_grad]
    found = torch.autograd.grad(value, [*parameters, *outputs], allow_unused=True)
    gradients = {id(p): g for p, g in zip(parameters, found) if g is not None}
    entering = [rms(g) ** 2 * g.numel() for g in found[len(parameters) :] if g is not None]
    return gradients, math.sqrt(sum(entering))


def _facts(
    module: nn.Module, recording: Recording, gradients: Mapping[int, Tensor], frozen: set[int], inputs: object
) -> Facts:
    called = {id(layer) for layer, _ in recording.calls} | {id(module)}
    uncalled = [
        name
        for name, layer in module.named_modules()
        if id(layer) not in called
        and (own := [p for p in layer.parameters(recurse=False) if p.is_floating_point()])
        and not any(id(p) in gradients or id(p) in frozen for p in own)
    ]
    scripted = [name for name, m in module.named_modules() if isinstance(m, torch.jit.ScriptModule)]
    scripted = [n or "(itself)" for n in scripted if n.rpartition(".")[0] not in scripted or not n]
    entering, leaving = (next(float_tensors(value), None) for value in (inputs, recording.output))
    return Facts(
        training=module.training,
        input_rms=None if entering is None else rms(entering),
        output_rms=None if leaving is None else rms(leaving),
        selects=not module.training
        and any(not t.is_floating_point() for t in all_tensors(recording.output))
        or all(t.ndim == 0 for t in all_tensors(recording.output)),
        uncalled=uncalled,
        scripted=scripted,
    )


def _layers_with_gradients(
    module: nn.Module,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    loss: Callable[..., Tensor] | None,
    zeros: list[Tensor],
    seed: int,
) -> set[str]:
    """Names of the layers that have a gradient once the parameters in `zeros` have values of usual size."""
    with restored(module, seed), without_zeros(zeros):
        recording, outputs, value = _forward(module, args, kwargs, loss)
        gradients, _ = _gradients(module, outputs, value)
        return {
            numbers["name"]
            for layer, numbers in recording.calls
            if weight_and_step(layer, gradients, set(), 1.0)[1] != 0
        }


def number(value: float | None) -> str:
    """The number with three significant digits, or an empty text for None."""
    return "" if value is None else f"{value:.3g}"
