"""Training as it goes, watched: when the penalties fire, how they weigh, whether the average follows."""

from __future__ import annotations

import copy
import logging
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace

import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from stylegan2.data.dataset import ImageData
from stylegan2.probing.influence import relative_distance
from stylegan2.training.module import Diverged, StyleGAN2, TrainingData


@dataclass(kw_only=True)
class Rehearsal:
    """What was seen of k iterations."""

    iterations: int = 0
    """Finished ones."""
    r1: list[int] = field(default_factory=list)
    """Iterations, from 0, at which R1 was evaluated."""
    path_length: list[int] = field(default_factory=list)
    """The same of the path length."""
    ema_error: float | None = None
    """Relative distance of the average from one kept beside it by its definition."""
    diverged: str | None = None
    """What training said when it stopped early."""


class _Recorder:
    """A loss object that notes the iterations it is called at."""

    def __init__(self, loss, log: list[int], watch: _Watch):
        self._loss, self._log, self._watch = loss, log, watch

    def __call__(self, *args, **kwargs):
        if self._watch.iteration not in self._log:
            self._log.append(self._watch.iteration)
        return self._loss(*args, **kwargs)

    def __getattr__(self, name: str):
        return getattr(self._loss, name)


class _Watch(pl.Callback):
    """Counts iterations by itself, and keeps its own running average of the generator's weights."""

    iteration = 0

    def on_train_batch_start(self, trainer: pl.Trainer, module: StyleGAN2, batch, batch_idx: int) -> None:
        if self.iteration == 0:
            self.start = module.images
            self.shadow = [p.detach().clone() for p in (module.average or module.generator).parameters()]

    @torch.no_grad()
    def on_train_batch_end(self, trainer: pl.Trainer, module: StyleGAN2, outputs, batch, batch_idx) -> None:
        if module.ema:
            half_life = 1000 * (module.ema.half_life_kimg or module.batch * 10 / 32)
            if module.ema.rampup is not None:
                seen = self.start + self.iteration * module.batch
                half_life = min(half_life, module.ema.rampup * seen)
            keep = 0.5 ** (module.batch / half_life) if half_life > 0 else 0.0
            for a, p in zip(self.shadow, module.generator.parameters()):
                a.mul_(keep).add_(p, alpha=1 - keep)
        self.iteration += 1


def rehearse(
    model: StyleGAN2, data: ImageData, iterations: int, seed: int = 0, accelerator: str = "auto"
) -> Rehearsal:
    """Train `model` itself, on one device, as train.py would.

    Args:
        model: Moved on by `iterations`, or up to the one that diverged.
        data: Images.
        iterations: How many.
        seed: Of latents, noise and the order of the images.
        accelerator: auto, cpu or gpu.
    """
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    watch, seen = _Watch(), Rehearsal()
    losses = model.r1, model.path_length
    model.r1 = _Recorder(model.r1, seen.r1, watch)
    model.path_length = _Recorder(model.path_length, seen.path_length, watch)
    device = model.device
    with warnings.catch_warnings(), torch.random.fork_rng():
        warnings.simplefilter("ignore")  # Lightning's advice on loops and workers is no business of a probe's
        torch.manual_seed(seed)
        trainer = pl.Trainer(
            accelerator=accelerator,
            devices=1,
            max_epochs=1,
            limit_train_batches=iterations,
            logger=False,
            callbacks=[watch],
            enable_progress_bar=False,
            enable_checkpointing=False,
            enable_model_summary=False,
            use_distributed_sampler=False,
        )
        try:
            trainer.fit(model, TrainingData(data, model.batch, seed))
        except Diverged as error:
            seen.diverged = str(error)
        finally:
            model.r1, model.path_length = losses
    seen.iterations = watch.iteration
    if model.average is not None and seen.iterations and not seen.diverged:
        seen.ema_error = relative_distance(watch.shadow, model.average.parameters())
    model.to(device).requires_grad_(True)
    if model.average is not None:
        model.average.requires_grad_(False)
    return seen


class _Unit:
    """A penalty with gradient 1 by one parameter, where the factor that training puts on it then shows."""

    def __init__(self, loss, name: str, parameter: nn.Parameter, pending: set[str]):
        self._loss, self._name, self._parameter, self._pending = loss, name, parameter, pending

    def __call__(self, *args, **kwargs):
        self._pending.add(self._name)
        value = self._parameter.sum()
        return value if self._name == "r1" else (value, torch.zeros_like(value), torch.zeros_like(value))

    def __getattr__(self, name: str):
        return getattr(self._loss, name)


class _Scales:
    """In an optimiser's place: notes the gradient with which a penalty arrives, and counts as a step."""

    def __init__(self, parameter: nn.Parameter, pending: set[str], note: Callable[[str, float], None]):
        self.parameter, self.pending, self.note = parameter, pending, note
        self.param_groups = [{"params": [parameter]}]

    def zero_grad(self) -> None:
        self.parameter.grad = None

    def step(self) -> None:
        for name in self.pending or [""]:
            self.note(name, self.parameter.grad.mean().item())
        self.pending.clear()


def penalty_weights(model: StyleGAN2) -> dict[str, dict[int, float]]:
    """Of "r1" and "path_length": iterations that evaluate it, and the factor its gradient then arrives with.

    As many real `training_step`s from iteration 0 as the longer interval needs to come round, each on two
    parts, with sums over a parameter in the losses' place: they cost no pass through a network.
    Leaves traces in flags and buffers: call it within `as_found`.
    """
    g, d = next(model.generator.parameters()), next(model.discriminator.parameters())
    kept, pending, found = (g.grad, d.grad), set(), {"r1": {}, "path_length": {}, "": {}}
    twin = copy.copy(model)  # shares the networks, but not what is set below
    twin._trainer = trainer = SimpleNamespace(global_step=0)

    def note(name: str, gradient: float) -> None:
        found[name][twin.iteration] = gradient
        trainer.global_step += 1  # as Lightning's: every step of every optimiser

    twin.losses, twin.batch_per_device = {}, 1
    twin.r1 = _Unit(model.r1, "r1", d, pending)
    twin.path_length = _Unit(model.path_length, "path_length", g, pending)
    twin.fake = lambda c: c
    twin.score = lambda images, c: (g.sum() + d.sum()).expand(len(c), 1)
    twin.optimizers = lambda: (_Scales(g, pending, note), _Scales(d, pending, note))
    twin.manual_backward = Tensor.backward
    twin._advance = lambda images: None
    images = torch.zeros(2, model.generator.img_channels, 1, 1, dtype=torch.uint8, device=g.device)
    labels = torch.zeros(2, model.generator.num_classes, device=g.device)
    for iteration in range(max(model.r1.every, model.path_length.every) + 1):
        twin.iteration = iteration
        twin.training_step((images, labels))
    g.grad, d.grad = kept
    return {name: found[name] for name in ("r1", "path_length")}
