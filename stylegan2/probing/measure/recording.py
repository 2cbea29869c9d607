"""Numbers of every call inside a module, taken by hooks: signals, gradients, weights and Adam's steps."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from stylegan2.networks.layers import SynthesisLayer
from stylegan2.probing.measure.values import float_tensors


@dataclass
class Recording:
    """A forward pass: the output of the module, and the layer and the numbers of each inner call.

    The gradients in the numbers are filled in during the backward pass.
    """

    output: object = None
    calls: list[tuple[nn.Module, dict[str, Any]]] = field(default_factory=list)


def record(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Recording:
    """Call the module and record every call of the modules inside it."""
    recording = Recording()
    calls: Counter[str] = Counter()
    entered: list[float | None] = []  # rms of the inputs; a stack, because modules call other modules

    def before(layer: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        first = next(float_tensors((args, kwargs)), None)
        # Measured before the call, because an in-place module overwrites its input.
        entered.append(None if first is None else rms(first))

    def after(name: str, layer: nn.Module, kwargs: dict[str, Any], output: object) -> None:
        out, input_rms = next(float_tensors(output), None), entered.pop()
        if out is None:
            return
        calls[name] += 1
        numbers = {
            "name": name if calls[name] == 1 else f"{name}#{calls[name]}",
            "leaf": _is_leaf(layer),
            "contains_modules": bool(list(layer.children())),
            "input_rms": input_rms,
            **_statistics(out.detach(), _bound(layer, kwargs)),
            "gradient": None,
        }
        recording.calls.append((layer, numbers))
        if out.requires_grad:
            out.register_hook(lambda gradient: numbers.__setitem__("gradient", rms(gradient)))

    handles = []
    with _in_reach(module) as (root, layers):
        for name, hooked, layer in layers:
            handles.append(hooked.register_forward_pre_hook(before, with_kwargs=True))
            handles.append(
                hooked.register_forward_hook(
                    lambda m, args, kwargs, out, name=name, layer=layer: after(name, layer, kwargs, out),
                    with_kwargs=True,
                )
            )
        try:
            recording.output = root(*args, **kwargs)
        finally:
            for handle in handles:
                handle.remove()
    return recording


class _Outside(nn.Module):
    """Calls a scripted module. PyTorch has no hooks for those."""

    def __init__(self, inner: nn.Module):
        super().__init__()
        self.call = inner.__call__

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.call(*args, **kwargs)


@contextmanager
def _in_reach(module: nn.Module) -> Iterator[tuple[nn.Module, list[tuple[str, nn.Module, nn.Module]]]]:
    """The module to call, and each layer to measure: its name, the module that takes hooks, and the layer itself.

    Inside the block, scripted modules are called through modules that take hooks. The root has a row only if it
    has parameters of its own or contains no modules.
    """
    if isinstance(module, torch.jit.ScriptModule):
        root = _Outside(module)
        yield root, [("", root, module)]
        return
    places = [
        (f"{path}.{name}" if path else name, parent, name, child)
        for path, parent in module.named_modules()
        if not isinstance(parent, torch.jit.ScriptModule)
        for name, child in parent.named_children()
        if isinstance(child, torch.jit.ScriptModule)
    ]
    inside = [name for name, *_ in places]
    layers = [
        (name, layer, layer)
        for name, layer in module.named_modules()
        if (layer is not module or _is_leaf(layer))
        and not any(f"{name}.".startswith(f"{n}.") for n in inside)
    ]
    for path, parent, name, child in places:
        parent._modules[name] = outside = _Outside(child)
        layers.append((path, outside, child))
    try:
        yield module, layers
    finally:
        for _, parent, name, child in places:
            parent._modules[name] = child


def kind_of(layer: nn.Module) -> str:
    """The name of a layer's class, or of the class that a scripted layer was made from."""
    if isinstance(layer, torch.jit.ScriptModule):
        return f"{getattr(layer, 'original_name', 'module')} (scripted)"
    return type(layer).__name__


def _is_leaf(layer: nn.Module) -> bool:
    scripted = isinstance(layer, torch.jit.ScriptModule)  # its inside has no rows
    return scripted or not list(layer.children()) or bool(list(layer.parameters(recurse=False)))


def _bound(layer: nn.Module, kwargs: Mapping[str, Any]) -> float | None:
    """The bound of a layer's output: its attribute `clamp`, if that is a positive number."""
    bound, gain = getattr(layer, "clamp", None), kwargs.get("gain", 1.0)
    if isinstance(bound, bool) or not isinstance(bound, (int, float)) or not bound > 0:
        return None
    return bound * (gain if isinstance(gain, (int, float)) else 1.0)  # our layers multiply it by the gain


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


def rms(x: Tensor) -> float:
    """Root of the mean square of all values of a tensor, which may be sparse. NaN for an empty tensor."""
    x = x.detach()
    x = x.to_dense() if x.layout != torch.strided else x
    return x.float().square().mean().sqrt().item()


def weights_of(layer: nn.Module) -> list[Tensor]:
    """A layer's own weights: its parameters of two or more dimensions that are not biases.

    A tensor (1, C, 1, 1) beside other weights is a bias or a gain per channel, whatever its name.
    """
    found: list[Tensor] = [
        p
        for name, p in layer.named_parameters(recurse=False)
        if p.ndim >= 2 and p.is_floating_point() and p.numel() and "bias" not in name
    ]
    vectors = [p for p in found if p.ndim > 2 and p.shape[0] == 1 and p.numel() == p.shape[1]]
    return found if len(vectors) == len(found) else [p for p in found if not any(p is v for v in vectors)]


def weight_and_step(
    layer: nn.Module, gradients: Mapping[int, Tensor], frozen: set[int], learning_rate: float
) -> tuple[float | None, float | None]:
    """rms of a layer's own weights as they are used, and Adam's relative step. Biases are left out.

    Args:
        layer: The layer.
        gradients: Gradients by the id of the parameter.
        frozen: Ids of the parameters that are not trained. They have no step.
        learning_rate: Adam's learning rate.
    """
    weights = weights_of(layer)
    if not weights:
        return None, None
    stored = rms(torch.cat([p.detach().float().flatten() for p in weights]))
    gain = getattr(layer, "weight_gain", 1.0)
    used = stored * (gain if isinstance(gain, (int, float)) else 1.0)
    if isinstance(layer, SynthesisLayer) and layer.normalization.demodulates:
        used = 1 / math.sqrt(layer.weight[0].numel())  # a demodulated kernel has length 1
    trained = [p for p in weights if id(p) not in frozen]
    size = rms(torch.cat([p.detach().float().flatten() for p in trained])) if trained else 0.0
    if not size:  # a step relative to nothing has no size
        return used, None
    found = [gradients.get(id(p), torch.zeros_like(p)) for p in trained]
    gradient = torch.cat(
        [(g.to_dense() if g.layout != torch.strided else g).float().flatten() for g in found]
    )
    return used, learning_rate * rms(gradient / (gradient.abs() + 1e-8)) / size
