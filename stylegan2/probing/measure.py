"""One forward and backward pass through any module, layer by layer."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field

import torch
from torch import Tensor, nn

from stylegan2.networks.layers import SynthesisLayer
from stylegan2.probing.findings import Finding, signal_findings


@dataclass(frozen=True, kw_only=True)
class Row:
    """One call of one module. None stands for "there is none"."""

    name: str
    kind: str
    leaf: bool
    """Has parameters of its own or no modules in it: such rows are the table, others are sums of them."""
    shape: tuple[int, ...]
    input_rms: float | None
    rms: float
    mean: float
    nonfinite: float
    """Share of NaN and infinite values."""
    clamped: float | None
    """Share of values at the module's bound (its attribute `clamp`)."""
    gradient: float | None
    """rms of ∂loss/∂output."""
    weight: float | None
    """rms of the weights as they are used, run-time factors and demodulation included."""
    step: float | None
    """rms of Adam's first step relative to the weights: lr·g/(|g| + ε) over the stored weights' rms. Run-time
    factors scale both, so this is the relative step of the weights as used."""


@dataclass(frozen=True, kw_only=True)
class Probe:
    """What `probe` measured: rows in forward order, and the loss."""

    rows: list[Row]
    loss: float
    findings: list[Finding] = field(default_factory=list)

    def __getitem__(self, name: str) -> Row:
        for row in self.rows:
            if row.name == name:
                return row
        raise KeyError(f"no layer {name!r}; there are {', '.join(row.name for row in self.rows)}")

    @property
    def layers(self) -> list[Row]:
        return [row for row in self.rows if row.leaf]

    def to_dict(self) -> dict:
        """Plain data for JSON."""
        return asdict(self)

    def __str__(self) -> str:
        head = ["layer", "kind", "output", "rms", "mean", "grad rms", "weight", "Adam step", "clamped"]
        body = [
            [
                row.name,
                row.kind,
                "×".join(map(str, row.shape)),
                *(
                    "" if value is None else f"{value:.3g}"
                    for value in (row.rms, row.mean, row.gradient, row.weight, row.step, row.clamped)
                ),
            ]
            for row in self.layers
        ]
        widths = [max(map(len, column)) for column in zip(head, *body)]
        table = [[cell.ljust(width) for cell, width in zip(line, widths)] for line in [head, *body]]
        return "\n".join([*("  ".join(line).rstrip() for line in table), *map(str, self.findings)])


def rms(x: Tensor) -> float:
    """Root of the mean square, any shape."""
    return x.detach().float().square().mean().sqrt().item()


def probe(
    module: nn.Module,
    inputs: Tensor | tuple | Mapping,
    loss: Callable[..., Tensor] | None = None,
    *,
    learning_rate: float = 0.002,
    seed: int = 0,
) -> Probe:
    """Send inputs through any module and back, and record what every layer does to the signal.

    The module comes back as it was: weights, buffers, mode, gradients and random state.

    Args:
        module: Any network, on any device, in the mode to be looked at.
        inputs: A tensor, a tuple of positional or a mapping of keyword arguments.
        loss: The module's output to a scalar. None: the sum over outputs times N(0, 1), so that a gradient of
            rms 1 enters every output.
        learning_rate: Adam's, for the step.
        seed: Of everything random in the pass.

    Returns:
        A row a call of each module, in forward order; `print` it, or take `to_dict()`.
    """
    args = () if isinstance(inputs, Mapping) else inputs if isinstance(inputs, tuple) else (inputs,)
    kwargs = dict(inputs) if isinstance(inputs, Mapping) else {}
    records: list[dict] = []
    calls: dict[str, int] = {}

    entered: list[float | None] = []  # a stack: modules nest

    def before(layer: nn.Module, args: tuple, kwargs: dict) -> None:
        first = next(_tensors((args, kwargs)), None)  # before an in-place module overwrites it
        entered.append(None if first is None else rms(first))

    def watch(name: str, layer: nn.Module) -> list:
        def hook(layer: nn.Module, args: tuple, kwargs: dict, output: object) -> None:
            out, input_rms = next(_tensors(output), None), entered.pop()
            if out is None:
                return
            calls[name] = calls.get(name, 0) + 1
            record = {
                "name": name if calls[name] == 1 else f"{name}#{calls[name]}",
                "layer": layer,
                "leaf": not list(layer.children()) or bool(list(layer.parameters(recurse=False))),
                "input_rms": input_rms,
                **_statistics(out, getattr(layer, "clamp", None)),
                "gradient": None,
            }
            records.append(record)
            if out.requires_grad:
                out.register_hook(lambda gradient: record.__setitem__("gradient", rms(gradient)))

        return [
            layer.register_forward_pre_hook(before, with_kwargs=True),
            layer.register_forward_hook(hook, with_kwargs=True),
        ]

    with as_found(module, seed):
        watched = [(n, m) for n, m in module.named_modules() if m is not module] or [("", module)]
        handles = [handle for name, layer in watched for handle in watch(name, layer)]
        try:
            output = module(*args, **kwargs)
        finally:
            for handle in handles:
                handle.remove()
        if loss is None:
            value = sum((out * torch.randn_like(out)).sum() for out in _tensors(output))
        else:
            value = loss(output)
        parameters = [p for p in module.parameters() if p.requires_grad]
        found = torch.autograd.grad(value, parameters, allow_unused=True)
        gradients = {id(p): g for p, g in zip(parameters, found) if g is not None}

        rows = []
        for record in records:
            layer = record.pop("layer")
            weight, step = _weights(layer, gradients, learning_rate)
            rows.append(Row(kind=type(layer).__name__, weight=weight, step=step, **record))
    return Probe(rows=rows, loss=float(value.detach()), findings=signal_findings(rows))


@contextmanager
def as_found(module: nn.Module, seed: int) -> Iterator[None]:
    """Gradients for all parameters inside; flags, buffers and random state as they were afterwards."""
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


def _tensors(value: object) -> Iterator[Tensor]:
    """The floating tensors in nested tuples, lists and mappings, in order."""
    if isinstance(value, Tensor):
        if value.is_floating_point():
            yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _tensors(item)
    elif isinstance(value, (tuple, list)):
        for item in value:
            yield from _tensors(item)


def _statistics(out: Tensor, clamp: float | None) -> dict:
    out = out.detach()
    # Half precision rounds the bound itself.
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
    """(rms of the weights as used, rms of Adam's relative step) of a layer's own weights, biases left out."""
    weights = [p for p in layer.parameters(recurse=False) if p.ndim >= 2 and p.is_floating_point()]
    if not weights:
        return None, None
    stored = torch.cat([p.detach().float().flatten() for p in weights])
    used = rms(stored) * getattr(layer, "weight_gain", 1.0)
    if isinstance(layer, SynthesisLayer) and layer.demodulate:
        used = 1 / math.sqrt(layer.weight[0].numel())  # demodulated kernels have length 1
    elif hasattr(layer, "style_gain"):
        used = rms(stored) * layer.style_gain
    found = [gradients.get(id(p), torch.zeros_like(p)).float().flatten() for p in weights]
    gradient = torch.cat(found)
    step = learning_rate * rms(gradient / (gradient.abs() + 1e-8))
    return used, step / max(rms(stored), 1e-30)
