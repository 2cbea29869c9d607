"""Time and memory of one layer of the generator with a normalization, relative to demodulation."""

from __future__ import annotations

import statistics
import time

import torch
from torch import Tensor

from stylegan2.catalogue.measure import Layer, images

REFERENCE = "demodulation"


def cost(
    name: str, device: torch.device, *, side: int, channels: int, batch: int, repeats: int
) -> dict[str, float]:
    """Time and memory of a forward and backward pass, relative to demodulation.

    Both layers are measured in turn, so that other work on the machine meets both.

    Args:
        name: The normalization.
        device: Where to measure. On a CPU the time is that of the processor.
        side: Height and width of the features.
        channels: Their channels.
        batch: Number of samples.
        repeats: Number of measurements of each layer.

    Returns:
        "time" (the fastest passes on a CPU, the median ones on a GPU) and "memory" (bytes that a forward pass keeps
        for the backward pass).
    """
    layers = {kind: Layer(kind, "generator", channels, side) for kind in (REFERENCE, name)}
    times: dict[str, list[float]] = {kind: [] for kind in layers}
    x = images(side, channels, batch).to(device)
    kept = {}
    for kind, layer in layers.items():
        layer.module.to(device)
        kept[kind] = _kept(layer, x)
    for _ in range(repeats):
        for kind, layer in layers.items():
            times[kind].append(_seconds(layer, x))
    typical = min if device.type == "cpu" else statistics.median
    return {
        "time": typical(times[name]) / typical(times[REFERENCE]),
        "memory": kept[name] / kept[REFERENCE],
    }


def _seconds(layer: Layer, x: Tensor) -> float:
    x = x.detach().requires_grad_()
    _wait(x)
    clock = time.perf_counter if x.is_cuda else time.process_time  # other work on a CPU does not count
    start = clock()
    layer(x).square().mean().backward()
    _wait(x)
    return clock() - start


def _wait(x: Tensor) -> None:
    if x.is_cuda:
        torch.cuda.synchronize(x.device)


def _kept(layer: Layer, x: Tensor) -> int:
    """Bytes of different tensors that a forward pass keeps."""
    saved: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        saved[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    x = x.detach().requires_grad_()
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        y = layer(x)
    del y
    return sum(saved.values())
