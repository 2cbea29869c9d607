"""Measuring: medians of interleaved runs, copy speed, memory, and the variants that are compared."""

from __future__ import annotations

import gc
import os
import statistics
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import torch
from torch.utils.flop_counter import FlopCounterMode

from stylegan2.kernels import allocation, off


@dataclass
class Row:
    """One measurement: median milliseconds, and how many times faster than the first variant of its name."""

    name: str
    resolution: int
    variant: str
    ms: float
    speedup: float = 1.0
    gb_per_s: float | None = None
    gflop_per_s: float | None = None
    peak_mb: float | None = None
    of_limit: float | None = None
    """Share of the machine's own copy speed (ops), or bare convolutions over the whole network's time."""


def synchronize(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def medians(functions: dict[str, Callable[[], object]], device: str, repeats: int) -> dict[str, float]:
    """Median milliseconds of each, all in turn a round, so that a machine that drifts drifts for all."""
    times: dict[str, list[float]] = {name: [] for name in functions}
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
    """GB/s, read and written, of a copy too large for any cache."""
    x = torch.randn(2**26 if device == "cpu" else 2**28, device=device)
    y = torch.empty_like(x)
    return 2 * x.numel() * 4 / medians({"copy": lambda: y.copy_(x)}, device, repeats)["copy"] / 1e6


def under(function: Callable[[], object], kernels: bool) -> Callable[[], object]:
    """The function with or without what replaces definitions."""

    def run() -> None:
        with nullcontext() if kernels else off():
            function()

    return run


def peak_mb(function: Callable[[], object], device: str) -> float | None:
    """Peak memory while it runs: the GPU's, or on Linux the whole process's, weights and all."""
    gc.collect()
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
        function()
        torch.cuda.synchronize()
        return torch.cuda.max_memory_allocated() / 1e6
    if not os.path.exists("/proc/self/clear_refs"):
        return None
    allocation.release_freed_memory()  # what earlier measurements left behind
    Path("/proc/self/clear_refs").write_text("5")
    function()
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1e3


def flops(function: Callable[[], object]) -> int:
    with FlopCounterMode(display=False) as counter:
        function()
    return counter.get_total_flops()
