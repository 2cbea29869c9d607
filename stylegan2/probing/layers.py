"""One forward and backward pass through any module, which measures signal, gradient and step of every layer."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import reduce
from typing import Any

import torch
from torch import Tensor, nn

from stylegan2.files import text_table
from stylegan2.networks.layers import SynthesisLayer
from stylegan2.probing.rules import Finding, signal_findings


@dataclass(frozen=True, kw_only=True)
class Row:
    """Measurements of one call of one module. None means that the number does not exist for this module."""

    name: str
    kind: str
    leaf: bool
    """Whether the module has parameters of its own or contains no modules. The table shows these rows."""
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
        return [self.name, self.kind, "×".join(map(str, self.shape)), *map(number, numbers)]


COLUMNS = ["layer", "kind", "output", "rms", "mean", "gradient rms", "weight rms", "Adam step", "clamped"]


@dataclass(frozen=True, kw_only=True)
class Probe:
    """The result of `probe`: rows in the order of the forward pass, the loss, and the faults found."""

    rows: list[Row]
    loss: float
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
    inputs: Tensor | tuple[Any, ...] | Mapping[str, Any],
    loss: Callable[..., Tensor] | None = None,
    *,
    learning_rate: float = 0.002,
    seed: int = 0,
) -> Probe:
    """Run a forward and a backward pass through any module, and record what every layer does to the signal.

    The module's weights, buffers, mode and gradients, and the random state, are afterwards what they were before.

    Args:
        module: Any network, on any device, in the mode in which it is to be probed.
        inputs: A tensor, a tuple of positional arguments or a mapping of keyword arguments.
        loss: Function of the module's output that returns a scalar. None: the sum of the outputs times
            N(0, 1), so that a gradient of rms 1 enters every output.
        learning_rate: Adam's learning rate, for the column "Adam step".
        seed: Seed of everything random in the pass.

    Returns:
        One row for each call of each module. `print` shows a table and `to_dict()` returns plain data.
    """
    args = () if isinstance(inputs, Mapping) else inputs if isinstance(inputs, tuple) else (inputs,)
    kwargs = dict(inputs) if isinstance(inputs, Mapping) else {}
    with restored(module, seed):
        records, output = _record(module, args, kwargs)
        if loss is None:
            value = reduce(torch.add, [(out * torch.randn_like(out)).sum() for out in _tensors(output)])
        else:
            value = loss(output)
        parameters = [p for p in module.parameters() if p.requires_grad]
        found = torch.autograd.grad(value, parameters, allow_unused=True)
        gradients = {id(p): g for p, g in zip(parameters, found) if g is not None}
        rows = []
        for layer, record in records:
            weight, step = _weights(layer, gradients, learning_rate)
            rows.append(Row(kind=type(layer).__name__, weight=weight, step=step, **record))
    return Probe(rows=rows, loss=float(value.detach()), findings=list(signal_findings(rows)))


def _record(
    module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[list[tuple[nn.Module, dict[str, Any]]], object]:
    """Call the module.

    Returns:
        The layer and the numbers of each inner call, and the output of the module. The gradients in the numbers
        are filled in during the backward pass.
    """
    records: list[tuple[nn.Module, dict[str, Any]]] = []
    calls: Counter[str] = Counter()
    entered: list[float | None] = []  # rms of the inputs; a stack, because modules call other modules

    def before(layer: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        first = next(_tensors((args, kwargs)), None)
        # Measured before the call, because an in-place module overwrites its input.
        entered.append(None if first is None else rms(first))

    def after(name: str, layer: nn.Module, kwargs: dict[str, Any], output: object) -> None:
        out, input_rms = next(_tensors(output), None), entered.pop()
        if out is None:
            return
        calls[name] += 1
        bound = getattr(layer, "clamp", None)
        if isinstance(bound, (int, float)):  # our layers multiply the clamp by the `gain` of the call
            gain = kwargs.get("gain", 1.0)
            bound *= gain if isinstance(gain, (int, float)) else 1.0
        else:
            bound = None
        record = {
            "name": name if calls[name] == 1 else f"{name}#{calls[name]}",
            "leaf": not list(layer.children()) or bool(list(layer.parameters(recurse=False))),
            "input_rms": input_rms,
            **_statistics(out.detach(), bound),
            "gradient": None,
        }
        records.append((layer, record))
        if out.requires_grad:
            out.register_hook(lambda gradient: record.__setitem__("gradient", rms(gradient)))

    handles = []
    for name, layer in [(n, m) for n, m in module.named_modules() if m is not module] or [("", module)]:
        handles.append(layer.register_forward_pre_hook(before, with_kwargs=True))
        handles.append(
            layer.register_forward_hook(
                lambda m, args, kwargs, out, name=name: after(name, m, kwargs, out), with_kwargs=True
            )
        )
    try:
        return records, module(*args, **kwargs)
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def restored(module: nn.Module, seed: int) -> Iterator[None]:
    """Seed the random state and turn on gradients of all parameters inside the block.

    Afterwards, `requires_grad` of the parameters, the buffers and the random state are restored.
    """
    parameters = [p for p in module.parameters() if p.is_floating_point()]
    wanted = [p.requires_grad for p in parameters]
    buffers = [(b, b.clone()) for b in module.buffers()]
    devices = {t.device for t in [*module.parameters(), *module.buffers()] if t.is_cuda}
    with torch.random.fork_rng(devices=list(devices)), torch.enable_grad():
        torch.manual_seed(seed)
        try:
            for p in parameters:
                p.requires_grad_()
            yield
        finally:
            for p, flag in zip(parameters, wanted):
                p.requires_grad_(flag)
            with torch.no_grad():
                for buffer, value in buffers:
                    buffer.copy_(value)


def rms(x: Tensor) -> float:
    """Root of the mean square of all values of a tensor."""
    return x.detach().float().square().mean().sqrt().item()


def number(value: float | None) -> str:
    """The number with three significant digits, or an empty text for None."""
    return "" if value is None else f"{value:.3g}"


def _tensors(value: object) -> Iterator[Tensor]:
    """The floating-point tensors in nested tuples, lists and mappings, in order."""
    if isinstance(value, Tensor):
        if value.is_floating_point():
            yield value
    elif isinstance(value, (Mapping, tuple, list)):
        for item in value.values() if isinstance(value, Mapping) else value:
            yield from _tensors(item)


def _statistics(out: Tensor, clamp: float | None) -> dict[str, Any]:
    # The factor 0.999 is there because half precision rounds the bound itself.
    at_bound = None if clamp is None else (out.abs() >= clamp * 0.999).float().mean().item()
    return {
        "shape": tuple(out.shape),
        "rms": rms(out),
        "mean": out.float().mean().item(),
        "nonfinite": 1 - torch.isfinite(out).float().mean().item(),
        "clamped": at_bound,
    }


def _weights(
    layer: nn.Module, gradients: Mapping[int, Tensor], learning_rate: float
) -> tuple[float | None, float | None]:
    """rms of a layer's own weights as they are used, and Adam's relative step. Biases are left out."""
    weights = [p for p in layer.parameters(recurse=False) if p.ndim >= 2 and p.is_floating_point()]
    if not weights:
        return None, None
    stored = rms(torch.cat([p.detach().float().flatten() for p in weights]))
    used = stored * getattr(layer, "weight_gain", 1.0)
    if isinstance(layer, SynthesisLayer) and layer.normalization.demodulates:
        used = 1 / math.sqrt(layer.weight[0].numel())  # a demodulated kernel has length 1
    gradient = torch.cat([gradients.get(id(p), torch.zeros_like(p)).float().flatten() for p in weights])
    step = learning_rate * rms(gradient / (gradient.abs() + 1e-8))
    return used, step / max(stored, 1e-30)
