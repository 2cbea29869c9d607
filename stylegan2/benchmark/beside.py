"""The speed of the demo's networks on an idle CPU and beside other busy programs, by number of threads."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch

from stylegan2.networks.discriminator import Discriminator
from stylegan2.networks.generator import Generator
from stylegan2.runtimes import runtimes
from stylegan2.runtimes.synthesis import synthesis_program, with_runtime
from stylegan2.threads import ThreadTuner, candidates
from stylegan2.training.config import TrainingConfig
from stylegan2.training.module import StyleGAN2

Row = tuple[str, str, float, float]
"""What is done, the threads, and its speed on an idle machine and beside busy programs, in images per second."""

BATCH = 16


def bench_beside(programs: int, seconds: float, served: Sequence[str] = ()) -> list[Row]:
    """Measure training and generation of 32×32 images with each number of threads, and with a chosen number.

    Args:
        programs: Busy programs beside the measured one.
        seconds: Duration of each of the measurements.
        served: Names of runtimes whose generation is measured as well, with PyTorch's number of threads.
    """
    rows: list[Row] = []
    most = torch.get_num_threads()
    for name, work in {"train": _training(), "generate": _generation(_networks()[0].eval())}.items():
        for threads in candidates():
            torch.set_num_threads(threads)
            idle = _speed(work, seconds)
            with busy(programs):
                rows.append((name, str(threads), idle, _speed(work, seconds)))
        torch.set_num_threads(most)
        tuner = ThreadTuner(candidates())
        idle = _speed(work, seconds, tuner)
        with busy(programs):
            rows.append((name, "chosen", idle, _speed(work, seconds, tuner)))
        torch.set_num_threads(most)
    generator = _networks()[0].eval()
    program = synthesis_program(generator) if served else b""
    for name in served:
        work = _generation(with_runtime(generator, program, runtimes[name], most))
        idle = _speed(work, seconds)
        with busy(programs):
            rows.append((f"generate, {name}", str(most), idle, _speed(work, seconds)))
    return rows


@contextmanager
def busy(programs: int) -> Iterator[list[subprocess.Popen[bytes]]]:
    """So many processes that each keep a core busy while the block runs."""
    processes = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(programs)]
    try:
        yield processes
    finally:
        for process in processes:
            process.kill()
            process.wait()


def _speed(work: Callable[[], object], seconds: float, tuner: ThreadTuner | None = None) -> float:
    """Images per second in the second half of a measurement. The first half is for warming up and trials."""
    images, start = 0, time.perf_counter()
    begun = now = start
    while now < start + seconds or not images:
        work()
        previous, now = now, time.perf_counter()
        if tuner is not None:
            tuner.record(now - previous)
        if now < start + seconds / 2:
            begun = now
        else:
            images += BATCH
    return images / (now - begun)


def _networks() -> tuple[Generator, Discriminator]:
    g = Generator(32, z_dim=128, w_dim=128, mapping_layers=2, channel_base=1024, channel_max=64)
    return g, Discriminator(32, channel_base=1024, channel_max=64)


def _training() -> Callable[[], object]:
    """An iteration without penalties, which most iterations are."""
    model = StyleGAN2(*_networks(), TrainingConfig(regularizers=()), batch=BATCH)
    optimizers = model.configure_optimizers()
    real, labels = torch.rand(BATCH, 3, 32, 32) * 2 - 1, torch.zeros(BATCH, 0)
    return lambda: model.iterate(real, labels, *optimizers)


def _generation(g: Generator) -> Callable[[], object]:
    """A batch of images, one at a time, as `generate` makes them."""
    z = torch.randn(BATCH, 1, g.z_dim)

    @torch.no_grad()
    def generate() -> None:
        for one in z:
            g(one, noise="const")

    return generate
