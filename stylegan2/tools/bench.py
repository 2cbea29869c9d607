"""How fast the ops and whole networks are here, side by side: medians, ratios, rates, memory."""

from __future__ import annotations

import gc
import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import torch
import torch.nn.functional as F
from torch.overrides import TorchFunctionMode
from torch.utils.flop_counter import FlopCounterMode
from tqdm import tqdm

from .. import layers
from ..discriminator import Discriminator
from ..errors import InputError
from ..generator import Generator
from ..losses import R1, PathLength, generator_loss
from ..ops import build
from ..training import StyleGAN2
from .doctor import op_cases

DTYPES = ("float32", "float16", "bfloat16")


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


def bench(
    resolutions: str = "256",
    what: str = "ops,generate,train",
    dtype: Literal["float32", "float16", "bfloat16"] = "float32",
    batch: int = 1,
    device: Literal["auto", "cpu", "cuda"] = "auto",
    compile: bool = False,
    repeats: int = 7,
    channel_base: int | None = None,
    out: str | None = None,
) -> None:
    """Measure the kernels and whole networks on this machine.

    Every variant of a row is timed in turn in the same run, after a warm-up, and the medians compared.
    Networks have config-f's channels. Against the machine itself: ops as a share of its copy speed, images
    as a share of its own convolutions, each timed alone in its faster memory format.

    Args:
        resolutions: Powers of two, such as 256,1024.
        what: Any of ops, generate, train (the phases D, G, R1 and path length).
        dtype: Type of the ops, and of all blocks of the networks.
        batch: Images at once.
        device: Where to measure.
        compile: Also with torch.compile (generate only: it has no double backward).
        repeats: Timed runs a variant.
        channel_base: Feature maps at resolution r are min(channel_base / r, 512). null: config-f's.
        out: JSON file to write.

    Raises:
        InputError: An argument that cannot be.
    """
    wanted = set(what.split(","))
    if unknown := wanted - {"ops", "generate", "train"}:
        raise InputError(f"--what expects ops, generate and train, found {', '.join(unknown)}.")
    sizes = _resolutions(resolutions)
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda" and not torch.cuda.is_available():
        raise InputError("--device cuda, but PyTorch finds no GPU here. Take --device cpu.")

    rows: list[Row] = []
    copy = copy_speed(device, repeats)
    for resolution in tqdm(sizes, desc="Measuring", unit="resolution"):
        base = channel_base or (32768 if resolution > 256 else 16384)
        if "ops" in wanted:
            rows += bench_ops(resolution, device, getattr(torch, dtype), batch, repeats, copy)
        if "generate" in wanted:
            rows += bench_generate(resolution, device, dtype, batch, repeats, base, compile)
        if "train" in wanted:
            rows += bench_train(resolution, device, dtype, batch, repeats, base)
    about = {
        "device": torch.cuda.get_device_name() if device == "cuda" else platform.processor() or "cpu",
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "dtype": dtype,
        "batch": batch,
        "copy_gb_per_s": round(copy, 1),
    }
    print("  ".join(f"{key} {value}" for key, value in about.items()), "\n")
    print(table(rows))
    if out:
        temporary = Path(out).with_suffix(".tmp")
        temporary.write_text(json.dumps({"about": about, "rows": [asdict(row) for row in rows]}, indent=1))
        temporary.replace(out)


def _resolutions(text: str) -> list[int]:
    try:
        sizes = [int(part) for part in text.split(",")]
    except ValueError:
        sizes = [0]
    if any(r < 8 or r & (r - 1) for r in sizes):
        raise InputError(f"--resolutions expects powers of two from 8 up, such as 256,1024, found {text!r}.")
    return sizes


# ---------------------------------------------------------------------------------------------- the clock


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


@contextmanager
def variant(kernels: bool, channels_last: bool = True) -> Iterator[None]:
    """Run with or without the kernels, and with features in one memory format or the other."""
    before = layers.MEMORY_FORMAT
    layers.MEMORY_FORMAT = torch.channels_last if channels_last else torch.contiguous_format
    try:
        if kernels:
            yield
        else:
            with build.off():
                yield
    finally:
        layers.MEMORY_FORMAT = before


def under(function: Callable[[], object], **options: bool) -> Callable[[], object]:
    def run() -> None:
        with variant(**options):
            function()

    return run


def peak_mb(function: Callable[[], object], device: str) -> float | None:
    """Peak memory while it runs: the GPU's, or on Linux that of the whole process."""
    gc.collect()
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
        function()
        torch.cuda.synchronize()
        return torch.cuda.max_memory_allocated() / 1e6
    if not os.path.exists("/proc/self/clear_refs"):
        return None
    Path("/proc/self/clear_refs").write_text("5")
    function()
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1e3


def flops(function: Callable[[], object]) -> int:
    with FlopCounterMode(display=False) as counter:
        function()
    return counter.get_total_flops()


# ------------------------------------------------------------------------------------------ what is timed


def bench_ops(
    resolution: int, device: str, dtype: torch.dtype, batch: int, repeats: int, copy: float
) -> list[Row]:
    """Each op at its shapes in the network, by kernel and by PyTorch."""
    rows = []
    for channels_last in (True, False):
        form = "channels last" if channels_last else "contiguous"
        for case in op_cases(resolution, device, dtype, channels_last, batch):
            for direction in ("forward", "forward_backward"):
                times = medians(
                    {name: getattr(case, direction)(getattr(case, name)) for name in ("reference", "kernel")},
                    device,
                    repeats,
                )
                moved = sum(t.numel() * t.element_size() for t in (case.leaves[0], case.kernel(*case.leaves)))
                for name, ms in times.items():
                    row = Row(
                        f"{case.name}, {direction.replace('_', '+')}, {form}",
                        resolution,
                        name,
                        ms,
                        times["reference"] / ms,
                    )
                    if direction == "forward":
                        row.gb_per_s = moved / ms / 1e6
                        row.of_limit = row.gb_per_s / copy
                    rows.append(row)
    return rows


def _blocks(resolution: int, dtype: str) -> dict:
    return {} if dtype == "float32" else {"low_precision_blocks": 99, "low_precision_dtype": dtype}


def bench_generate(
    resolution: int, device: str, dtype: str, batch: int, repeats: int, channel_base: int, compile: bool
) -> list[Row]:
    """Whole images, beside the time of the network's bare convolutions."""
    g = Generator(resolution, channel_base=channel_base, **_blocks(resolution, dtype)).to(device).eval()
    z = torch.randn(batch, g.z_dim, device=device)

    @torch.no_grad()
    def generate() -> None:
        g(z, noise="const")

    variants = {
        "reference, contiguous": under(generate, kernels=False, channels_last=False),
        "reference": under(generate, kernels=False),
        "kernels": under(generate, kernels=True),
    }
    if compile:
        compiled = torch.compile(g)

        @torch.no_grad()
        def generate_compiled() -> None:
            compiled(z, noise="const")

        variants["kernels, compiled"] = under(generate_compiled, kernels=True)
    calls = record_convolutions(generate)
    work, times = flops(generate), medians(variants, device, repeats)
    bare = sum(
        min(medians({form: convolution(call, device, form) for form in FORMATS}, device, repeats).values())
        for call in calls
    )
    rows = [Row("generate: its bare convolutions", resolution, "", bare, gflop_per_s=work / bare / 1e6)]
    for name, ms in times.items():
        peak = peak_mb(variants[name], device)
        speedup = times["reference, contiguous"] / ms
        rows.append(
            Row("generate", resolution, name, ms, speedup, None, work / ms / 1e6, peak, of_limit=bare / ms)
        )
    return rows


FORMATS = (torch.channels_last, torch.contiguous_format)


class _Recorder(TorchFunctionMode):
    """Notes every ungrouped convolution that is called."""

    def __init__(self):
        super().__init__()
        self.calls = []

    def __torch_function__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        is_convolution = function in (F.conv2d, F.conv_transpose2d, torch.conv2d, torch.conv_transpose2d)
        if is_convolution and kwargs.get("groups", 1) == 1:
            x, weight, *rest = args
            self.calls.append((function, tuple(x.shape), tuple(weight.shape), x.dtype, rest, dict(kwargs)))
        return function(*args, **kwargs)


def record_convolutions(function: Callable[[], object]) -> list[tuple]:
    with _Recorder() as recorder:
        function()
    return recorder.calls


def convolution(call: tuple, device: str, form: torch.memory_format) -> Callable[[], object]:
    """A recorded convolution alone, on random data in a memory format."""
    function, x_shape, weight_shape, dtype, rest, kwargs = call
    x = torch.randn(x_shape, device=device).to(dtype, memory_format=form)
    weight = torch.randn(weight_shape, device=device).to(dtype, memory_format=form)

    @torch.no_grad()
    def run() -> None:
        function(x, weight, *rest, **kwargs)

    return run


def bench_train(
    resolution: int, device: str, dtype: str, batch: int, repeats: int, channel_base: int
) -> list[Row]:
    """Forward and backward of each phase of an iteration; its optimisers take no time to speak of."""
    low = _blocks(resolution, dtype)
    model = StyleGAN2(
        Generator(resolution, channel_base=channel_base, **low),
        Discriminator(resolution, channel_base=channel_base, **low),
        batch=batch,
        r1=R1(gamma=1.0),
        path_length=PathLength(batch_shrink=1),
    ).to(device)
    real = torch.rand(batch, 3, resolution, resolution, device=device) * 2 - 1
    c = torch.zeros(batch, 0, device=device)
    phases = {
        "G": (model.generator, lambda: generator_loss(model.score(model.fake(c), c))),
        "D": (model.discriminator, lambda: model.discriminator_loss(real, c)),
        "R1": (model.discriminator, lambda: model.r1_penalty(real, c)),
        "path length": (model.generator, lambda: model.path_length_penalty(c)),
    }
    rows = []
    for phase, (network, loss) in phases.items():

        def step(network=network, loss=loss) -> None:
            with model.training_only(network):
                loss().backward()
            network.zero_grad()

        variants = {
            "reference, contiguous": under(step, kernels=False, channels_last=False),
            "reference": under(step, kernels=False),
            "kernels": under(step, kernels=True),
        }
        times = medians(variants, device, repeats)
        for name, ms in times.items():
            peak = peak_mb(variants[name], device)
            speedup = times["reference, contiguous"] / ms
            rows.append(Row(f"train: {phase}", resolution, name, ms, speedup, peak_mb=peak))
    return rows


def table(rows: list[Row]) -> str:
    """The rows as aligned text."""

    def number(value: float | None, form: str) -> str:
        return "" if value is None else format(value, form)

    head = ["what", "size", "variant", "ms", "speed-up", "GB/s", "GFLOP/s", "peak MB", "of limit"]
    cells = [
        [
            row.name,
            str(row.resolution),
            row.variant,
            f"{row.ms:.3g}",
            f"{row.speedup:.2f}×",
            number(row.gb_per_s, ".1f"),
            number(row.gflop_per_s, ".0f"),
            number(row.peak_mb, ".0f"),
            number(row.of_limit, ".0%"),
        ]
        for row in rows
    ]
    widths = [max(map(len, column)) for column in zip(head, *cells)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip() for line in [head, *cells]
    )
