"""What a measurement changes in a module, and how it is put back: flags, buffers, modes, random state."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parameter import UninitializedBuffer, is_lazy


@contextmanager
def restored(module: nn.Module, seed: int) -> Iterator[None]:
    """Seed the random state and turn on gradients of all parameters inside the block.

    Afterwards, `requires_grad` of the parameters, the buffers and the random state are restored.
    """
    parameters = [p for p in module.parameters() if p.is_floating_point()]
    wanted = [p.requires_grad for p in parameters]
    # A module may also put another tensor in the place of a buffer.
    buffers = [
        (layer, name, b, b.clone())
        for layer in module.modules()
        if not isinstance(layer, torch.jit.ScriptModule)
        for name, b in layer.named_buffers(recurse=False)
    ]
    scripted = [
        (b, b.clone())
        for layer in module.modules()
        if isinstance(layer, torch.jit.ScriptModule)
        for b in layer.buffers(recurse=False)
    ]
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
                for buffer, value in [*scripted, *((b, value) for _, _, b, value in buffers)]:
                    buffer.copy_(value)
            for layer, name, buffer, _ in buffers:
                layer._buffers[name] = buffer


def initialized(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> nn.Module:
    """The module, or a copy whose lazy parameters have the shapes that these inputs give them."""
    if not any(is_lazy(t) for t in [*module.parameters(), *module.buffers()]):
        return module
    lazy = [b for b in module.buffers() if isinstance(b, UninitializedBuffer)]  # deepcopy cannot copy them
    copies: dict[int, Any] = {id(b): UninitializedBuffer() for b in lazy}
    module = copy.deepcopy(module, copies)
    with torch.random.fork_rng(), torch.no_grad():
        module(*args, **kwargs)
    return module


def fresh_batch_norms(module: nn.Module) -> dict[str, _BatchNorm]:
    """The batch normalizations in evaluation mode whose running statistics have seen no data, by name."""
    return {
        name: layer
        for name, layer in module.named_modules()
        if isinstance(layer, _BatchNorm)
        and not layer.training
        and layer.running_mean is not None
        and layer.running_var is not None
        and not layer.running_mean.any()
        and bool((layer.running_var == 1).all())
    }


@contextmanager
def using_batch_statistics(layers: list[_BatchNorm]) -> Iterator[None]:
    """Let batch normalizations use the statistics of the batch inside the block."""
    for layer in layers:
        layer.training = True
    try:
        yield
    finally:
        for layer in layers:
            layer.training = False


def zero_initialized(module: nn.Module) -> dict[str, Tensor]:
    """The trainable parameters other than biases that are zero everywhere, by name."""
    return {
        name: p
        for name, p in module.named_parameters()
        if p.requires_grad and p.numel() and "bias" not in name.split(".")[-1] and not p.detach().any()
    }


@contextmanager
def without_zeros(parameters: list[Tensor]) -> Iterator[None]:
    """Give zero-initialized parameters values of usual size inside the block: N(0, 1/fan_in), or 1 for vectors."""
    with torch.no_grad():
        for p in parameters:
            p.copy_(torch.randn_like(p) / p[0].numel() ** 0.5 if p.ndim > 1 else torch.ones_like(p))
    try:
        yield
    finally:
        with torch.no_grad():
            for p in parameters:
                p.zero_()
