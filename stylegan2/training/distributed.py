"""The few collective operations over processes that training needs.

In a single process no function here communicates.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

from .launch import this_launch

T = TypeVar("T")


def is_loss_of_a_process(error: BaseException) -> bool:
    """Whether an error says that another process could not be reached. Gloo has no class of its own for that."""
    return isinstance(error, dist.DistError) or (isinstance(error, RuntimeError) and "gloo" in str(error))


def world_size() -> int:
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    return dist.get_rank() if world_size() > 1 else 0


class _Average(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, value: Tensor) -> Tensor:
        value = value.clone()
        dist.all_reduce(value)
        return value / world_size()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        # Each process's loss depends on the values of all processes, so their gradients add up here.
        gradient = gradient.clone()
        dist.all_reduce(gradient)
        return gradient / world_size()


def average(value: Tensor) -> Tensor:
    """The mean of a tensor over processes. It is differentiable."""
    return value if world_size() == 1 else _Average.apply(value)


@torch.no_grad()
def average_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Replace every gradient by its mean over processes, with one all-reduce.

    A parameter without a gradient (`grad` is None) is skipped. It must have none in any process.
    """
    if world_size() == 1:
        return
    gradients = [p.grad for p in parameters if p.grad is not None]
    flat = torch.cat([grad.flatten() for grad in gradients])
    dist.all_reduce(flat)
    flat /= world_size()
    for grad, mean in zip(gradients, flat.split([grad.numel() for grad in gradients])):
        grad.copy_(mean.view_as(grad))  # in place, to keep the gradient's memory format


@contextmanager
def joined() -> Iterator[None]:
    """Join the processes that torchrun has started, to measure together. A single process does nothing.

    They exchange results on the CPU, by gloo. On GPUs each process takes one.
    """
    launch = this_launch()
    if launch.by != "torchrun" or launch.per_machine * launch.machines == 1 or dist.is_initialized():
        yield
        return
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]) % torch.cuda.device_count())
    dist.init_process_group("gloo")
    try:
        yield
    finally:
        dist.destroy_process_group()


def any_process(flag: bool, device: torch.device) -> bool:
    """Whether the flag is set in any process."""
    if world_size() == 1:
        return flag
    value = torch.tensor(float(flag), device=device)
    dist.all_reduce(value, op=dist.ReduceOp.MAX)
    return bool(value)


def gather(value: T) -> list[T]:
    """The values of all processes, in the order of their ranks."""
    if world_size() == 1:
        return [value]
    values = [value] * world_size()
    dist.all_gather_object(values, value)
    return values


def sharded(compute: Callable[[int], T], count: int) -> Iterator[T]:
    """compute(0), compute(1), ..., compute(count - 1) in this order, in every process.

    Process r computes every world_size-th one from the r-th on, so the work is shared. The results travel as
    pickles and must lie on the CPU. Every process has to consume the whole iterator.
    """
    world, own = world_size(), rank()
    for first in range(0, count, world):
        mine = [compute(first + own)] if first + own < count else []
        for part in gather(mine):
            yield from part
