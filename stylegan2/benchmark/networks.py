"""Timing of whole networks: generation, compared with its convolutions alone, and the phases of training."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from stylegan2.kernels import fixed_weights, off
from stylegan2.networks.discriminator import Discriminator
from stylegan2.networks.generator import Generator
from stylegan2.runtimes import Precision, runtimes
from stylegan2.runtimes.synthesis import synthesis_program, with_runtime
from stylegan2.training.config import TrainingConfig
from stylegan2.training.module import StyleGAN2, frozen
from stylegan2.training.regularizers.path_length import PathLength
from stylegan2.training.regularizers.r1 import R1

from .timing import Row, flops, medians, peak_mb, with_kernels

M = TypeVar("M", bound=nn.Module)


def _blocks(dtype: str) -> dict[str, Any]:
    return {} if dtype == "float32" else {"low_precision_blocks": 99, "low_precision_dtype": dtype}


def bench_generate(
    resolution: int,
    device: str,
    dtype: str,
    batch: int,
    repeats: int,
    channel_base: int,
    compile: bool,
    served: Sequence[str] = (),
) -> list[Row]:
    """Time the generation of images with each variant, and the convolutions of the network alone.

    Args:
        resolution: Side of the images.
        device: cpu or cuda.
        dtype: Type of all blocks.
        batch: Images at once.
        repeats: Timed runs per variant.
        channel_base: As in `GeneratorConfig`.
        compile: Whether to time the compiled network as well.
        served: Names of runtimes to time as well.
    """
    g = (
        Generator(resolution, channel_base=channel_base, **_blocks(dtype))
        .to(device)
        .eval()
        .requires_grad_(False)
    )
    z = torch.randn(batch, g.z_dim, device=device)
    fixed = fixed_weights()

    @torch.no_grad()
    def generate(network: Callable[..., Tensor]) -> None:
        network(z, noise="const")

    def generate_many() -> None:
        with fixed:
            generate(g)

    variants = _variants(generate, g)
    variants["kernels, fixed weights"] = with_kernels(generate_many, enabled=True)
    if compile:
        compiled = torch.compile(g)
        variants["kernels, compiled"] = with_kernels(lambda: generate(compiled), enabled=True)
    program = synthesis_program(g) if served else b""
    for name in served:
        precision: Precision = "bfloat16" if dtype == "bfloat16" else "float32"
        other = with_runtime(g, program, runtimes[name], torch.get_num_threads(), precision)
        variants[name] = partial(generate, other)
    with off():  # every convolution is then one of PyTorch's, which the recorder and the counter see
        calls, work = record_convolutions(lambda: generate(g)), flops(lambda: generate(g))
    times = medians(variants, device, repeats)
    bare = sum(
        min(medians({form: convolution(call, device, form) for form in FORMATS}, device, repeats).values())
        for call in calls
    )
    rows = [Row("generate: its convolutions alone", resolution, "", bare, gflop_per_s=work / bare / 1e6)]
    for name, ms in times.items():
        speedup, rate = times["reference, contiguous"] / ms, work / ms / 1e6
        peak = peak_mb(variants[name], device)
        rows.append(Row("generate", resolution, name, ms, speedup, None, rate, peak, of_limit=bare / ms))
    return rows


def _variants(function: Callable[[M], object], network: M) -> dict[str, Callable[[], object]]:
    """The function of a network in the reference (contiguous and channels last) and with kernels."""
    contiguous = copy.deepcopy(network).to(memory_format=torch.contiguous_format)
    return {
        "reference, contiguous": with_kernels(lambda: function(contiguous), enabled=False),
        "reference": with_kernels(lambda: function(network), enabled=False),
        "kernels": with_kernels(lambda: function(network), enabled=True),
    }


FORMATS = (torch.channels_last, torch.contiguous_format)


class _Recorder(TorchFunctionMode):
    """Records the arguments of every convolution without groups."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[Any, ...]] = []

    def __torch_function__(
        self, function: Any, types: object, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        is_convolution = function in (F.conv2d, F.conv_transpose2d, torch.conv2d, torch.conv_transpose2d)
        if is_convolution and kwargs.get("groups", 1) == 1:
            x, weight, *rest = args
            self.calls.append((function, tuple(x.shape), tuple(weight.shape), x.dtype, rest, dict(kwargs)))
        return function(*args, **kwargs)


def record_convolutions(function: Callable[[], object]) -> list[tuple[Any, ...]]:
    with _Recorder() as recorder:
        function()
    return recorder.calls


def convolution(call: tuple[Any, ...], device: str, form: torch.memory_format) -> Callable[[], object]:
    """A recorded convolution, on random data in the given memory format."""
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
    """Time forward and backward of each phase of a training iteration, without the optimizer's step."""
    low = _blocks(dtype)
    config = TrainingConfig(regularizers=(R1(gamma=1.0), PathLength(batch_shrink=1)))
    model = StyleGAN2(
        Generator(resolution, channel_base=channel_base, **low),
        Discriminator(resolution, channel_base=channel_base, **low),
        config,
        batch=batch,
    ).to(device)
    real = torch.rand(batch, 3, resolution, resolution, device=device) * 2 - 1
    c = torch.zeros(batch, 0, device=device)
    phases: dict[str, Callable[[StyleGAN2], Tensor]] = {
        "G": lambda model: model.generator_loss(real, c),
        "D": lambda model: model.discriminator_loss(real, c),
        "R1": lambda model: model.penalty("r1", real, c),
        "path length": lambda model: model.penalty("path_length", real, c),
    }
    rows = []
    for phase, loss in phases.items():

        def step(
            model: StyleGAN2,
            loss: Callable[[StyleGAN2], Tensor] = loss,
            of_d: bool = phase in ("D", "R1"),
        ) -> None:
            with frozen(model.generator if of_d else model.discriminator):
                loss(model).backward()
            (model.discriminator if of_d else model.generator).zero_grad()

        variants = _variants(step, model)
        times = medians(variants, device, repeats)
        for name, ms in times.items():
            peak = peak_mb(variants[name], device)
            speedup = times["reference, contiguous"] / ms
            rows.append(Row(f"train: {phase}", resolution, name, ms, speedup, peak_mb=peak))
    return rows
