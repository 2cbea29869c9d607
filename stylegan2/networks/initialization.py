"""The initial values of networks. Each tensor is drawn from its own random stream.

The name of the tensor and the seed of the network determine the stream. Two networks of the same seed that differ in
one layer therefore start from equal values of all other weights, and an ablation can compare them in pairs.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from typing import NamedTuple

import torch
from torch import nn


class _Request(NamedTuple):
    layer: nn.Module
    std: dict[str, float]
    then: Callable[[], None] | None


_requests: ContextVar[list[_Request] | None] = ContextVar("requests", default=None)
"""What remains to be drawn for the network under construction. None if there is no such network."""


def draw(layer: nn.Module, then: Callable[[], None] | None = None, **std: float) -> None:
    """Fill tensors of a layer with values from N(0, std²).

    A layer that is built on its own gets them immediately, from PyTorch's global random state. Within
    `drawn_by_name` it gets them at the end of the block, when the names of all layers are known.

    Args:
        layer: Module whose attributes the tensors are.
        then: Called after the tensors have their values. It creates what depends on them.
        **std: Standard deviation of each tensor, by the name of the attribute.
    """
    request, requests = _Request(layer, std, then), _requests.get()
    if requests is None:
        _fulfill(request, lambda name: None)
    else:
        requests.append(request)


_undrawn: ContextVar[bool] = ContextVar("undrawn", default=False)


@contextmanager
def undrawn() -> Iterator[None]:
    """Build networks within this block whose weights are loaded afterwards. Nothing is drawn for them."""
    token = _undrawn.set(True)
    try:
        yield
    finally:
        _undrawn.reset(token)


@contextmanager
def drawn_by_name(network: nn.Module) -> Iterator[None]:
    """Build the layers of a network within this block. They get their initial values at its end.

    The seed of the network is one number from PyTorch's global random state. The number of layers does not
    change that state.
    """
    seed = int(torch.randint(2**63 - 1, (), device="cpu"))
    requests: list[_Request] = []
    with torch.random.fork_rng(devices=[]):
        token = _requests.set(requests)
        try:
            yield
        finally:
            _requests.reset(token)
        names = {module: name for name, module in network.named_modules()}
        for request in requests:
            path = names.get(request.layer, "")
            torch.default_generator.manual_seed(_hash(seed, path))  # for what `then` draws
            _fulfill(request, partial(_stream, seed, path))


@torch.no_grad()
def _fulfill(request: _Request, stream: Callable[[str], torch.Generator | None]) -> None:
    for name, std in request.std.items():
        if _undrawn.get():
            break
        tensor: torch.Tensor = getattr(request.layer, name)
        values = torch.randn(tensor.shape, generator=stream(name), dtype=tensor.dtype, device="cpu")
        tensor.copy_(values * std)
    if request.then is not None:
        request.then()


def _stream(seed: int, layer: str, name: str) -> torch.Generator:
    return torch.Generator().manual_seed(_hash(seed, f"{layer}.{name}"))


def _hash(seed: int, name: str) -> int:
    return int.from_bytes(hashlib.blake2b(f"{seed} {name}".encode(), digest_size=8).digest(), "big")
