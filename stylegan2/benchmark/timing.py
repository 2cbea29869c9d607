"""Measurements: median times of interleaved runs, copy speed, peak memory and operation counts."""

from __future__ import annotations

import gc
import os
import statistics
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import torch
from torch.utils.flop_counter import FlopCounterMode

from stylegan2.kernels import allocation, off

K = TypeVar("K")


@dataclass
class Row:
    """One measurement: median milliseconds, and the speed-up over the first variant of the same name."""

    name: str
    resolution: int
    variant: str
    ms: float
    speedup: float = 1.0
    gb_per_s: float | None = None
    gflop_per_s: float | None = None
    peak_mb: float | None = None
    of_limit: float | None = None
    """For ops: the share of the machine's copy speed. For networks: the time of the convolutions alone, divided
    by the time of the whole network. For augmentation: its share of a training iteration."""


def synchronize(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def medians(functions: dict[K, Callable[[], object]], device: str, repeats: int) -> dict[K, float]:
    """Median milliseconds of each function.

    Every round runs each function once, so that a change in the machine's speed affects all of them. Two
    warm-up rounds are not counted.
    """
    times: dict[K, list[float]] = {name: [] for name in functions}
    for round_ in range(repeats + 2):
        for name, function in functions.items():
            synchronize(device)
            start = time.perf_counter()
            function()
            synchronize(device)
            if round_ >= 2:
                times[name].append((time.perf_counter() - start) * 1e3)
    return {name: statistics.median(values) for name, values in times.items()}


def copy_speed(device: str, repeats: int) -> float:
    """Bytes read and written per second, in GB/s, by a copy that is too large for the caches."""
    x = torch.randn(2**26 if device == "cpu" else 2**28, device=device)
    y = torch.empty_like(x)
    return 2 * x.numel() * 4 / medians({"copy": lambda: y.copy_(x)}, device, repeats)["copy"] / 1e6


def with_kernels(function: Callable[[], object], enabled: bool) -> Callable[[], object]:
    """The function, run with the kernels or with the definitions in plain PyTorch."""

    def run() -> None:
        with nullcontext() if enabled else off():
            function()

    return run


def peak_mb(function: Callable[[], object], device: str) -> float | None:
    """Peak memory in MB while the function runs: allocated memory on a GPU, or that of the whole process.

    The memory of the process includes weights and PyTorch. None: not measured, since the system is not Linux.
    """
    gc.collect()
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
        function()
        torch.cuda.synchronize()
        return torch.cuda.max_memory_allocated() / 1e6
    if not os.path.exists("/proc/self/clear_refs"):
        return None
    allocation.release_freed_memory()  # memory that earlier measurements have freed
    Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")
    function()
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(status.split("VmHWM:")[1].split()[0]) / 1e3


def flops(function: Callable[[], object]) -> int:
    with FlopCounterMode(display=False) as counter:
        function()
    return counter.get_total_flops()
