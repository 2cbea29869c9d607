"""A task without a game: a discriminator alone learns to tell drawings from blends of two drawings.

It has one optimum that does not depend on an opponent, a score that needs no feature network, and takes seconds.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import count, islice
from statistics import fmean

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from scipy.stats import rankdata
from torch import Tensor

from stylegan2.coordinates.plan import DEFAULT, Size, settings
from stylegan2.data import ImageData, to_float
from stylegan2.networks.discriminator import Discriminator
from stylegan2.optimum.plan import GROUP, Plan
from stylegan2.optimum.study import Point
from stylegan2.training.config import TrainingConfig
from stylegan2.training.losses import losses
from stylegan2.training.regularizers.r1 import R1, gradient_penalty

IMAGES, HELD_OUT = 4000, 400
"""Most images that are read, and most of them that are held out (a fifth)."""

LEAST_IMAGES = 40
SHARES = (0.7, 0.8, 0.9, 1.0)
"""Shares of the training after which the held-out images are scored. Their mean is less noisy than the last score."""

R1_IMAGES = 64
"""Held-out images on which R1 is measured at the start."""
R1_AT_THE_START = "R1 at the start"

R1_AND_SCORES = 0.4
"""Time that R1 and the scores take, relative to that of the other iterations."""


@dataclass(frozen=True)
class Pictures:
    """Images (N, 3, R, R) in [-1, 1]."""

    training: Tensor
    held_out: Tensor
    blends: Tensor
    """Blends of held-out images, one for each of them."""


@lru_cache(maxsize=1)
def pictures(path: str, resolution: int, detail: int | None) -> Pictures:
    """The images of the task. The same ones are held out at every size and for every seed.

    Args:
        path: Folder or zip of images, or demo.
        resolution: Side of the images.
        detail: Side at which they are read before they are enlarged. None: the same.

    Raises:
        InputError: The images cannot be used, or there are fewer than 40.
    """
    dataset = ImageData(path=path, resolution=detail or resolution).open(minimum=LEAST_IMAGES, progress=False)
    generator = torch.Generator().manual_seed(0)
    rows = torch.randperm(len(dataset), generator=generator)[:IMAGES].tolist()
    images = to_float(dataset[rows][0])
    if detail and detail != resolution:
        images = F.interpolate(images, size=resolution, mode="bilinear", align_corners=False)
    # Whole groups of the minibatch stddev, so that every batch of them can be scored.
    held_out, training = images.tensor_split([min(HELD_OUT, len(images) // 5) // GROUP * GROUP])
    return Pictures(training, held_out, blend(held_out, held_out.roll(1, 0), generator))


def blend(a: Tensor, b: Tensor, generator: torch.Generator) -> Tensor:
    """t·a + (1 - t)·b, with t uniform in [¼, ¾] for each image. The shapes are (N, C, H, W)."""
    t = 0.25 + 0.5 * torch.rand(len(a), 1, 1, 1, generator=generator)
    return b.lerp(a, t)


def auc(positive: NDArray[np.float64], negative: NDArray[np.float64]) -> float:
    """The probability that a positive score is above a negative one, where a tie counts as one half.

    This is the Mann-Whitney statistic over the number of pairs. The scores must not be NaN.
    """
    n, m = len(positive), len(negative)
    ranks = rankdata(np.concatenate([positive, negative]))
    return float((ranks[:n].sum() - n * (n + 1) / 2) / (n * m))


def build(size: Size, variant: str, seed: int) -> Discriminator:
    """An untrained discriminator, with equally many feature maps in all blocks."""
    torch.manual_seed(seed)
    scalings, _ = settings(variant)
    return Discriminator(
        size.resolution, scalings, channel_base=size.width * size.resolution, channel_max=size.width
    )


def initial_r1(d: Discriminator, images: Tensor, batch: int) -> float:
    """The mean of ‖∇ₓ D(x)‖²."""
    return torch.cat([gradient_penalty(d, part).detach() for part in images.split(batch)]).mean().item()


class Diverged(Exception):
    """A loss or a logit is NaN or infinite."""


def train(plan: Plan, number: int, variant: str, seed: int, value: float) -> Point:
    """Train a discriminator with one value of the hyperparameter, and score the held-out images.

    Args:
        plan: The study.
        number: The size.
        variant: The scaling that is off.
        seed: Of the weights, and of the order of the images, which all values, variants and sizes share.
        value: Of the hyperparameter.
    """
    start, size = time.perf_counter(), plan.size(number)
    data = pictures(plan.data, size.resolution, plan.detail)
    d = build(size, variant, seed)
    measured = {R1_AT_THE_START: initial_r1(d, data.held_out[:R1_IMAGES], size.batch)}
    total = max(round(plan.kimg * 1000 / size.batch), 1)
    looks = {max(round(share * total), 1) for share in SHARES}
    scores: list[dict[str, float]] = []
    try:
        for step in islice(descent(d, data, plan, number, variant, seed, value), total):
            if step in looks:
                scores.append(score(d, data, size.batch))
    except Diverged as error:
        point = Point(value=value, status="diverged", why=str(error), measured=measured)
    else:
        measured |= {name: fmean(each[name] for each in scores) for name in scores[0]}
        # Half a pair is the least error that so many images can show.
        error_rate = max(1 - measured["AUC"], 0.5 / (len(data.held_out) * len(data.blends)))
        point = Point(value=value, score=error_rate, measured=measured)
    return replace(point, seconds=time.perf_counter() - start)


def descent(
    d: Discriminator, data: Pictures, plan: Plan, number: int, variant: str, seed: int, value: float
) -> Iterator[int]:
    """Train without an end, with lazy R1 as in training proper. Yields the number of iterations that are done.

    Raises:
        Diverged: A loss is NaN or infinite.
    """
    size, draws = plan.size(number), torch.Generator().manual_seed(seed)
    options = TrainingConfig(learning_rate=value if plan.name == "learning_rate" else None)
    r1 = R1(gamma=value if plan.name == "r1.gamma" else None).resolved(size.resolution, size.batch)
    weight, exponent = settings(variant)[0].lazy(r1.every)
    adam = torch.optim.Adam(
        d.parameters(),
        lr=options.learning_rate_at(size.resolution) * exponent,
        betas=(options.betas[0] ** exponent, options.betas[1] ** exponent),
    )
    for step in count():
        rows = torch.randint(len(data.training), (3, size.batch), generator=draws)
        real, one, other = data.training[rows].unbind()
        loss = losses["logistic"].discriminator(d(blend(one, other, draws)), d(real))
        _descend(adam, loss, step)
        if step % r1.every == 0:
            _descend(adam, weight * r1(d, real), step)
        yield step + 1


def _descend(adam: torch.optim.Optimizer, loss: Tensor, step: int) -> None:
    if not torch.isfinite(loss):
        raise Diverged(f"iteration {step}: a loss is NaN or infinite")
    adam.zero_grad()
    loss.backward()
    adam.step()


@torch.no_grad()
def score(d: Discriminator, data: Pictures, batch: int) -> dict[str, float]:
    """AUC and loss of the held-out images. A batch has images of one kind, as in training.

    Raises:
        Diverged: A logit is NaN or infinite.
    """
    real, fake = (
        torch.cat([d(part) for part in images.split(batch)]) for images in (data.held_out, data.blends)
    )
    if not (real.isfinite().all() and fake.isfinite().all()):
        raise Diverged("a logit of held-out images is NaN or infinite")
    return {
        "AUC": auc(real.double().numpy().ravel(), fake.double().numpy().ravel()),
        "held-out loss": losses["logistic"].discriminator(fake, real).item(),
    }


def seconds_of_a_training(plan: Plan, number: int) -> float:
    """An estimate of the duration of a training of a size, from a few iterations."""
    size = plan.size(number)
    data = pictures(plan.data, size.resolution, plan.detail)
    steps = descent(build(size, DEFAULT, 0), data, plan, number, DEFAULT, 0, plan.values[0])
    next(steps)  # which is slower than the others, and computes R1
    start = time.perf_counter()
    timed = len(list(islice(steps, 4)))
    per_iteration = (time.perf_counter() - start) / timed
    return (1 + R1_AND_SCORES) * per_iteration * plan.kimg * 1000 / size.batch
