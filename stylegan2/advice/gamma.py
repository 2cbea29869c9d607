"""A short probe of R1's gamma: which values let D win outright or keep it from learning, in the first iterations.

The first iterations show whether gamma is wrong by orders of magnitude. They cannot show which of the values that
remain gives the best images, since that is decided late in training.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from stylegan2.data import to_float
from stylegan2.threads import ThreadTuner, candidates
from stylegan2.training.divergence import Diverged
from stylegan2.training.module import StyleGAN2
from stylegan2.training.regularizers.r1 import gradient_penalty

FACTORS = (0.2, 1.0, 5.0)
"""Values of gamma that are tried, as multiples of the rule's."""

CHANCE = 2 * math.log(2)
"""D's logistic loss when it cannot tell real from fake."""

SATURATED, STIFLED = 0.1 * CHANCE, 0.95 * CHANCE
"""D has won below the first loss if all reals are positive, and learns nothing above the second."""

SLIGHT = 0.01
"""Share of that loss below which R1 has no effect to speak of."""

ALL = 0.99
"""Share of reals with positive logits that counts as all of them."""

LEAST, MOST = 64, 1000
"""Bounds of the number of iterations for each value. Fewer would tell nothing, and are not begun."""

CYCLE = 16
"""Iterations in which every penalty is due once."""

MEASUREMENTS = 6
"""How often the last third of the iterations is measured."""


@dataclass(frozen=True, kw_only=True)
class Trial:
    """What training with one value of gamma led to: means over measurements in the last third of the iterations."""

    factor: float
    """gamma divided by the rule's."""

    gamma: float
    gradient: float
    """E ‖∇ₓD(x)‖² over real images."""

    loss: float
    """D's loss."""

    positive: float
    """Share of real images that D takes for real."""

    @property
    def penalty(self) -> float:
        """gamma/2 · E ‖∇ₓD‖²."""
        return self.gamma / 2 * self.gradient

    @property
    def verdict(self) -> str:
        """Whether gamma is usable, or why not."""
        if not math.isfinite(self.loss):
            return "diverged"
        if self.loss < SATURATED and self.positive >= ALL:
            return "D has won"
        return "D learns nothing" if self.loss > STIFLED else "usable"


def probe(
    build: Callable[[float], StyleGAN2],
    images: Tensor,
    labels: Tensor,
    seconds: float,
    seed: int = 0,
    iterations: int | None = None,
    progress: bool = True,
) -> tuple[list[Trial], int]:
    """Train with each value of gamma from the same seed on the same images, and measure.

    Args:
        build: Makes the model with gamma at a factor of the rule's, from the same weights each time.
        images: Real images, uint8 (N, C, H, W), N at least a batch.
        labels: Their labels, (N, num_classes).
        seconds: Time for all trials. It determines their number of iterations, which is the same for all.
        seed: Of the latents and of the order of images.
        iterations: Iterations of each trial instead.
        progress: Whether to show a progress bar.

    Returns:
        The trials, and the number of iterations of each. There are none if the time is enough for fewer than 64.
    """
    if iterations is None:
        model = build(1.0)
        start = math.nan
        timed = _training(model, images, labels, CYCLE + 1, seed)
        for iteration, _ in enumerate(tqdm(timed, "Timing", CYCLE + 1, leave=False, disable=not progress)):
            start = time.perf_counter() if not iteration else start  # the first one plans convolutions
        each = (time.perf_counter() - start) / CYCLE
        iterations = min(int(seconds / each / (len(FACTORS) + 0.3)), MOST)
        if iterations < LEAST:
            return [], iterations
    trials = []
    with tqdm(total=len(FACTORS) * iterations, desc="Trying gamma", unit="it", disable=not progress) as bar:
        for factor in FACTORS:
            model = build(factor)
            trials.append(_trial(model, factor, images, labels, iterations, seed, bar))
    return trials, iterations


def _training(model: StyleGAN2, images: Tensor, labels: Tensor, iterations: int, seed: int) -> Iterator[None]:
    """Train the model, and yield after every iteration."""
    torch.manual_seed(seed)
    optimizers, order = model.configure_optimizers(), torch.Generator().manual_seed(seed)
    tuner = ThreadTuner(candidates()) if model.device.type == "cpu" else None
    for _ in range(iterations):
        rows = torch.randperm(len(images), generator=order)[: model.batch]
        batch = images[rows].to(model.device), labels[rows].to(model.device)
        if tuner is None:
            model.iterate(*batch, *optimizers)
        else:
            with tuner.piece():
                model.iterate(*batch, *optimizers)
        yield
    if tuner is not None:
        tuner.restore()


def _trial(
    model: StyleGAN2,
    factor: float,
    images: Tensor,
    labels: Tensor,
    iterations: int,
    seed: int,
    bar: tqdm[Any],
) -> Trial:
    every = max(iterations // 3 // MEASUREMENTS, 1)
    found: list[tuple[float, float, float]] = []
    try:
        for iteration, _ in enumerate(_training(model, images, labels, iterations, seed), 1):
            bar.update()
            if iteration > iterations * 2 // 3 and (iterations - iteration) % every == 0:
                found.append(measure(model, images, labels, seed + iteration))
    except Diverged:
        found = [(math.nan, math.nan, math.nan)]
    gradient, loss, positive = (fmean(values) for values in zip(*found))
    gamma = model.regularizers["r1"].gamma  # type: ignore[attr-defined]
    return Trial(factor=factor, gamma=gamma, gradient=gradient, loss=loss, positive=positive)


def measure(model: StyleGAN2, images: Tensor, labels: Tensor, seed: int) -> tuple[float, float, float]:
    """E ‖∇ₓD‖² over a batch of reals, D's loss, and the share of reals with positive logits.

    The random state of training is left as it is.
    """
    rows = torch.randperm(len(images), generator=torch.Generator().manual_seed(seed))[: model.batch]
    real, c = to_float(images[rows].to(model.device)), labels[rows].to(model.device)
    with torch.random.fork_rng():
        gradient = gradient_penalty(lambda x: model.discriminator(x, c), real).mean().item()
        with torch.no_grad():
            logits = model.discriminator(real, c)
            loss = model.loss.discriminator(model.discriminator(model.fake(c), c), logits).item()
    return gradient, loss, (logits > 0).float().mean().item()


def conclusion(trials: Sequence[Trial], iterations: int) -> tuple[float, str]:
    """The factor to train with, and what trials of so many iterations tell."""
    if not trials:
        return 1.0, (
            f"There was time for {iterations} iterations with each value, and fewer than {LEAST} tell nothing. Give "
            "more --probe_seconds, or probe while the machine is idle."
        )
    usable = [trial.factor for trial in trials if trial.verdict == "usable"]
    if not usable:
        return (
            1.0,
            "No value was usable in so short a time, which tells nothing. Keep the rule and watch loss_d.",
        )
    factor = min(usable, key=lambda f: abs(math.log(f)))
    ruled = [f"{t.factor:g} ({t.verdict})" for t in trials if t.factor not in usable]
    text = f"The probe rules out factors {', '.join(ruled)}." if ruled else "The probe rules out no factor."
    if max(trial.penalty for trial in trials if trial.factor in usable) < SLIGHT * CHANCE:
        return (
            factor,
            f"{text} R1 stays below a hundredth of D's loss with each of them, so gamma hardly acts yet.",
        )
    low, high = min(usable), max(usable)
    text += f" Look for the best gamma between {low:g} and {high:g} times the rule" if low < high else ""
    return factor, f"{text.removesuffix('.')}."
