"""Initial values: every tensor of a network comes from a random stream of its own, by its name and one seed.

What a layer draws therefore does not depend on which other layers there are. Two networks of the same seed that
differ in one layer start from equal weights everywhere else, so that an ablation compares like with like.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import NamedTuple

import torch
from torch import nn


class _Request(NamedTuple):
    layer: nn.Module
    std: dict[str, float]
    then: Callable[[], None] | None


_requests: ContextVar[list[_Request] | None] = ContextVar("requests", default=None)
"""What the network under construction has still to draw. None: no network is under construction."""


def draw(layer: nn.Module, then: Callable[[], None] | None = None, **std: float) -> None:
    """Draw tensors of a layer from N(0, std²), each with its own standard deviation.

    A layer that is built alone draws at once, from PyTorch's global random state. Within `drawn_by_name` the
    values come at the end of the block, when every layer has its name.

    Args:
        layer: Has the tensors as attributes. Their contents so far do not count.
        then: Called when the tensors have their values, for whatever depends on them.
        **std: The standard deviation of each tensor, by its attribute's name.
    """
    request, requests = _Request(layer, std, then), _requests.get()
    if requests is None:
        _fulfill(request, lambda name: None)
    else:
        requests.append(request)


@contextmanager
def drawn_by_name(network: nn.Module) -> Iterator[None]:
    """Build the layers of a network within this block; at its end each of them gets its initial values.

    The seed is a single number out of PyTorch's global random state, whatever the network is made of.
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
            _fulfill(request, lambda name, path=path: _stream(seed, f"{path}.{name}"))


@torch.no_grad()
def _fulfill(request: _Request, stream: Callable[[str], torch.Generator | None]) -> None:
    for name, std in request.std.items():
        tensor: torch.Tensor = getattr(request.layer, name)
        values = torch.randn(tensor.shape, generator=stream(name), dtype=tensor.dtype, device="cpu")
        tensor.copy_(values * std)
    if request.then is not None:
        request.then()


def _stream(seed: int, name: str) -> torch.Generator:
    return torch.Generator().manual_seed(_hash(seed, name))


def _hash(seed: int, name: str) -> int:
    return int.from_bytes(hashlib.blake2b(f"{seed} {name}".encode(), digest_size=8).digest(), "big")
