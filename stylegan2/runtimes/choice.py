"""The choice of a runtime for many images, by measurement, and the check that its images are the same."""

from __future__ import annotations

import statistics
import time

import torch
from torch import Tensor

from stylegan2.networks.generator import Generator

from . import require, runtimes
from .synthesis import synthesis_program, with_runtime

SAME = 1e-3
"""Largest difference between pixels of one image, nominally in [-1, 1]. It is an eighth of a level of a PNG file."""

WORTH = 120.0
"""Seconds of work from which on `auto` compares runtimes. Preparing them takes from a few seconds to a minute."""

AHEAD = 0.95
"""A runtime is chosen by `auto` if it takes at most this part of PyTorch's time."""

REPEATS = 3


@torch.no_grad()
def choose(generator: Generator, name: str, images: int) -> tuple[Generator, str]:
    """Return a generator whose images come from the runtime of this name, and a sentence about it.

    Args:
        generator: A generator in evaluation mode.
        name: torch, a runtime, or auto. auto measures the installed runtimes if there is a lot of work on a
            CPU. It takes the fastest one whose images equal PyTorch's.
        images: Number of images that will be generated.

    Raises:
        InputError: The runtime is unknown, not installed, or runs only on the CPU and the generator does not.
    """
    if name == "torch" or next(generator.parameters()).device.type != "cpu":
        if name not in ("torch", "auto"):
            require(name)
            return generator, f"Runtime: torch, because {name} would run on the CPU."
        return generator, ""
    if name != "auto":
        runtime, threads = require(name), torch.get_num_threads()
        served = with_runtime(generator, synthesis_program(generator), runtime, threads)
        apart = _difference(generator, served)
        return served, f"Runtime: {name}. The largest difference from PyTorch's pixels is {apart:.1e}."
    installed = [name for name, runtime in runtimes.items() if not runtime.missing()]
    if not installed or generator.config.low_precision_blocks or images * _seconds(generator, 1) < WORTH:
        return generator, ""
    program = synthesis_program(generator)
    best, least, sentence = generator, AHEAD * _seconds(generator), ""
    for name in installed:
        served = with_runtime(generator, program, require(name), torch.get_num_threads())
        apart, seconds = _difference(generator, served), _seconds(served)
        if apart <= SAME and seconds < least:
            share = seconds / _seconds(generator)
            best, least = served, seconds
            sentence = (
                f"Runtime: {name}, in {share:.2f} of PyTorch's time. The largest difference of pixels is "
                f"{apart:.1e}."
            )
    return best, sentence


def _example(generator: Generator) -> tuple[Tensor, Tensor]:
    like = next(generator.mapping.parameters())
    z = torch.randn(1, generator.z_dim, generator=torch.Generator().manual_seed(0)).to(like)
    return z, torch.zeros(1, generator.num_classes).to(like)


def _difference(a: Generator, b: Generator) -> float:
    """The largest difference of the pixels of one image. It is infinite if a pixel is not a number."""
    z, c = _example(a)
    pixels = (a(z, c, noise="const") - b(z, c, noise="const")).abs().max()
    return float(pixels.nan_to_num(float("inf")))


def _seconds(generator: Generator, repeats: int = REPEATS) -> float:
    """Median seconds for one image, after one that is not counted."""
    z, c = _example(generator)
    times = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        generator(z, c, noise="const")
        times.append(time.perf_counter() - start)
    return statistics.median(times[1:])
