"""What a shift of the first feature map does to the image, and what up-sampling does to constant features."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from stylegan2.blackbox.tracing import DRAWS, Node, Trace
from stylegan2.probing.measure.recording import rms
from stylegan2.probing.measure.values import float_tensors

BORDER = 4
"""Pixels at each side of an up-sampled map that are left out, because padding has an influence there."""


@dataclass(frozen=True, kw_only=True)
class Shift:
    """The image when the first feature map moves by a pixel, against the moved image (Karras et al. 2021, EQ-T)."""

    place: str
    side: int
    """Side of the feature map."""
    error: float
    """rms of the difference, over √2 times the std of the image: 0 for a perfect shift, about 1 for another image."""


@dataclass(frozen=True, kw_only=True)
class Upsampling:
    """What a part of the network that doubles the resolution makes of features that are constant in space."""

    place: str
    gain: float
    """rms of the result away from its border, over that of the constant features."""
    phases: float
    """Standard deviation of the four means of even and odd rows and columns, over that rms. 0: no checkerboard."""


class _Replaced(TorchFunctionMode):
    """Changes the result of one call of a PyTorch function, by its number."""

    def __init__(self, call: int, change: Callable[[Tensor], Tensor]):
        super().__init__()
        self.call, self.change, self.count = call, change, 0

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        call, self.count = self.count, self.count + 1
        result = func(*args, **(kwargs or {}))
        return self.change(result) if call == self.call else result


def first_map(trace: Trace, n: int) -> Node | None:
    """The feature map (n, C, h, w) of several pixels from which all others come. None: there is no such single map.

    Noise does not count. It is not moved. Nor does memory that later operations write into.
    """
    derived: set[int] = set()
    sources = []
    for node in trace.nodes:
        out = node.out
        is_map = out.ndim == 4 and len(out) == n and out.shape[2:].numel() > 1
        if node.op in DRAWS | {"empty", "empty_like"} or any(id(before) in derived for before in node.inputs):
            derived.add(id(node))
        elif is_map:
            derived.add(id(node))
            sources.append(node)
    return sources[0] if len(sources) == 1 else None


def shift(trace: Trace, images: Callable[[], Tensor]) -> Shift | None:
    """Move the first feature map by one pixel along both axes, and compare the image with the moved one.

    What the shift brings in from the other side is left out. None: there is no single first map, or the image is not
    a whole number of times as large.

    Args:
        trace: A trace of `images()`.
        images: Function that makes the same images (N, C, H, W) at every call.
    """
    base = images()
    source = first_map(trace, len(base))
    if source is None:
        return None
    (height, width), (h, w) = base.shape[2:], source.out.shape[2:]
    if height % h or width % w or min(h, w) < 3:
        return None
    with _Replaced(source.call, lambda x: x.roll((1, 1), (2, 3))):
        moved = images()
    y, x = height // h, width // w
    difference = (moved - base.roll((y, x), (2, 3)))[:, :, y:, x:]
    std = (base - base.mean(dim=(2, 3), keepdim=True)).square().mean().sqrt().item()
    error = rms(difference) / max(math.sqrt(2) * std, 1e-30)
    return Shift(place=source.place, side=h, error=error)


def upsampling(modules: dict[str, nn.Module], run: Callable[[], object]) -> list[Upsampling]:
    """Every part that returns a map of twice the side of the one it gets, called again on constant features.

    Args:
        modules: The networks.
        run: Function that calls them once.
    """
    calls: list[tuple[str, nn.Module, tuple[Any, ...], dict[str, Any]]] = []
    handles = []

    def hook(name: str) -> Callable[..., None]:
        def keep(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], out: object) -> None:
            x, y = args[0] if args else None, next(float_tensors(out), None)
            if not isinstance(x, Tensor) or y is None or x.ndim != 4 or y.ndim != 4:
                return
            if [2 * s for s in x.shape[2:]] == list(y.shape[2:]) and min(y.shape[2:]) > 2 * BORDER:
                calls.append((name, module, args, kwargs))

        return keep

    for prefix, network in modules.items():
        for name, module in network.named_modules():
            if not isinstance(module, torch.jit.ScriptModule):
                path = ".".join(part for part in (prefix, name) if part)
                handles.append(module.register_forward_hook(hook(path), with_kwargs=True))
    try:
        run()
    finally:
        for handle in handles:
            handle.remove()
    found = []
    for name, module, (x, *others), kwargs in calls:
        constant = x.mean(dim=(2, 3), keepdim=True).expand_as(x).contiguous()
        with torch.no_grad():
            y = next(float_tensors(module(constant, *others, **kwargs))).float()
        inner = y[:, :, BORDER:-BORDER, BORDER:-BORDER]
        means = torch.stack([inner[:, :, i::2, j::2].mean(dim=(2, 3)) for i in (0, 1) for j in (0, 1)])
        size = max(rms(inner), 1e-30)
        phases = means.var(dim=0, unbiased=False).mean().sqrt().item() / size
        found.append(Upsampling(place=name, gain=size / max(rms(constant), 1e-30), phases=phases))
    return found
