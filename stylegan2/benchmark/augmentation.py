"""The time that ADA's augmentation takes of a training iteration."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch

from stylegan2.augment.fixed import Fixed
from stylegan2.augment.options import ADAOptions
from stylegan2.networks.discriminator import Discriminator
from stylegan2.networks.generator import Generator
from stylegan2.training.config import TrainingConfig
from stylegan2.training.module import StyleGAN2, frozen
from stylegan2.training.regularizers.path_length import PathLength
from stylegan2.training.regularizers.r1 import R1

from .timing import Row, medians

PROBABILITIES = (0.2, 0.5, 0.8)


def bench_augment(resolution: int, device: str, batch: int, repeats: int, channel_base: int) -> list[Row]:
    """Time ADA's default transforms (blit, geom, color), and compare with an iteration without augmentation.

    An iteration, with R1 every 16 and path length every 4 iterations, augments the fakes of G's loss, forward and
    backward; the fakes and the reals of D's loss, forward; and in every 16th the reals of R1, with the backward of
    the backward. Optimizer steps are not counted. The column "of limit" is the share of such an iteration.
    """
    model = StyleGAN2(
        Generator(resolution, mapping_layers=2, channel_base=channel_base),
        Discriminator(resolution, channel_base=channel_base),
        TrainingConfig(regularizers=(R1(gamma=1.0), PathLength())),
        batch=batch,
    ).to(device)
    real = torch.rand(batch, 3, resolution, resolution, device=device) * 2 - 1
    c = torch.zeros(batch, 0, device=device)
    phases: dict[str, Callable[[], object]] = {
        "G": lambda: _step(model, "generator", lambda: model.generator_loss(real, c)),
        "D": lambda: _step(model, "discriminator", lambda: model.discriminator_loss(real, c)),
        "R1": lambda: _step(model, "discriminator", lambda: model.penalty("r1", real, c)),
        "path length": lambda: _step(model, "generator", lambda: model.penalty("path_length", real, c)),
    }
    for p in PROBABILITIES:
        augmentation = Fixed(ADAOptions(p=p)).to(device)
        phases[f"p = {p:g}, forward"] = partial(augmentation, real)
        phases[f"p = {p:g}, backward"] = partial(_once, augmentation, real)
        phases[f"p = {p:g}, R1"] = partial(_twice, augmentation, real)
    ms = medians(phases, device, repeats)
    iteration = ms["G"] + ms["D"] + ms["R1"] / 16 + ms["path length"] / 4
    rows = [Row("augment: an iteration without", resolution, "", iteration)]
    for p in PROBABILITIES:
        time = 2 * ms[f"p = {p:g}, forward"] + ms[f"p = {p:g}, backward"] + ms[f"p = {p:g}, R1"] / 16
        share = time / (iteration + time)
        rows.append(Row("augment: in an iteration", resolution, f"p = {p:g}", time, of_limit=share))
    return rows


def _step(model: StyleGAN2, network: str, loss: Callable[[], torch.Tensor]) -> None:
    other = model.discriminator if network == "generator" else model.generator
    with frozen(other):
        loss().backward()
    getattr(model, network).zero_grad()


def _leaf(images: torch.Tensor) -> torch.Tensor:
    return images.detach().requires_grad_()


def _once(augmentation: Fixed, images: torch.Tensor) -> None:
    """What augmentation adds to G's loss: forward and backward."""
    augmentation(_leaf(images)).sum().backward()


def _twice(augmentation: Fixed, images: torch.Tensor) -> None:
    """The part of R1 that augmentation adds: its backward, and the backward of that."""
    x = _leaf(images)
    out = augmentation(x)
    (gradient,) = torch.autograd.grad(out, x, _leaf(out), create_graph=True)
    gradient.square().sum().backward()
