"""The training loop: StyleGAN2's iteration as a LightningModule in manual optimisation."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from stylegan2.data.dataset import ImageData, to_float
from stylegan2.errors import InputError
from stylegan2.networks.discriminator import Discriminator
from stylegan2.networks.generator import Generator
from stylegan2.networks.scalings import Scalings
from stylegan2.training import distributed
from stylegan2.training.ema import EMA
from stylegan2.training.losses import (
    R1,
    PathLength,
    default_gamma,
    discriminator_loss,
    generator_loss,
    style_mixing,
)


class Diverged(RuntimeError):
    """A loss is no longer a finite number."""


class StyleGAN2(pl.LightningModule):
    """Generator and discriminator, their losses, optimisers, running average and counters.

    Counts iterations and images itself: Lightning's global_step counts every step of every optimiser.

    Args:
        generator: Network G.
        discriminator: Network D.
        batch: Images an iteration, over all processes.
        batch_per_device: Images a process takes at once; gradients of several such parts add up. null: all.
        scalings: Every gain and normalisation of the networks; also read for the lazy regularisation.
        r1: Gradient penalty of the discriminator. every: 0 turns it off.
        path_length: Path length regularisation of the generator. every: 0 turns it off.
        ema: Running average of the generator, from which samples are drawn, with half_life_kimg (null:
            batch·10/32) and rampup (0.05). null: none, samples come from the generator itself.
        style_mixing: Probability of style mixing (SG1 §3.1).
        learning_rate: Adam's, for both networks. null: 0.002 from 1024² on, else 0.0025 (ADA's "auto").
        betas: Adam's decay rates.
    """

    def __init__(
        self,
        generator: Generator,
        discriminator: Discriminator,
        *,
        batch: int = 32,
        batch_per_device: int | None = None,
        scalings: Scalings = Scalings(),  # noqa: B008 (frozen)
        r1: R1 = R1(),  # noqa: B008
        path_length: PathLength = PathLength(),  # noqa: B008
        ema: EMA | None = EMA(),  # noqa: B008
        style_mixing: float = 0.9,
        learning_rate: float | None = None,
        betas: tuple[float, float] = (0.0, 0.99),
    ):
        super().__init__()
        self.automatic_optimization = False
        self.generator, self.discriminator = generator, discriminator
        self.average = copy.deepcopy(generator).eval().requires_grad_(False) if ema else None
        self.register_buffer("path_length_mean", torch.zeros([]))
        self.batch, self.batch_per_device, self.scalings = batch, batch_per_device, scalings
        resolution = generator.resolution
        self.r1 = r1 if r1.gamma is not None else replace(r1, gamma=default_gamma(resolution, batch))
        self.path_length, self.ema, self.style_mixing = path_length, ema, style_mixing
        self.learning_rate = learning_rate or (0.002 if resolution >= 1024 else 0.0025)
        self.betas = tuple(map(float, betas))
        self.low_precision = any(n.config["low_precision_blocks"] for n in (generator, discriminator))
        self.iteration = self.images = 0
        self.losses: dict[str, Tensor] = {}
        """What the latest iteration computed, a scalar each, averaged over parts and processes."""

    @property
    def sampler(self) -> Generator:
        """The network samples are drawn from: the running average, if there is one."""
        return self.average or self.generator

    def configure_optimizers(self) -> list[torch.optim.Optimizer]:
        """Adam for each network, corrected for its lazy penalty (SG2 app. B)."""
        pairs = ((self.generator, self.path_length.every), (self.discriminator, self.r1.every))
        return [self._adam(network, every) for network, every in pairs]

    def _adam(self, network: nn.Module, every: int) -> torch.optim.Adam:
        c = self.scalings.lazy(every).exponent if every else 1.0
        betas = tuple(beta**c for beta in self.betas)
        return torch.optim.Adam(network.parameters(), lr=self.learning_rate * c, betas=betas, eps=1e-8)

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int = 0) -> None:
        """G, sometimes path length; D, sometimes R1; then the running average.

        batch: real images uint8 (n, C, R, R) and labels float (n, num_classes), n = batch / processes. The
        fakes take the labels of the reals.
        """
        reals, labels = to_float(batch[0]).to(self.path_length_mean), batch[1].to(self.path_length_mean)
        size = self.batch_per_device or len(reals)
        parts = list(zip(reals.split(size), labels.split(size)))
        opt_g, opt_d = self.optimizers()
        self.losses = {}  # penalties come now and then, and must not count again in between

        with self.training_only(self.generator):
            self._descend("loss_g", opt_g, lambda real, c: generator_loss(self.score(self.fake(c), c)), parts)
            if self._due(self.path_length.every):
                weight = self.scalings.lazy(self.path_length.every).weight
                self._descend(
                    "path_length", opt_g, lambda real, c: self.path_length_penalty(c), parts, weight
                )
        with self.training_only(self.discriminator):
            self._descend("loss_d", opt_d, self.discriminator_loss, parts)
            if self._due(self.r1.every):
                weight = self.scalings.lazy(self.r1.every).weight
                self._descend("r1", opt_d, self.r1_penalty, parts, weight)

        self._advance(self.batch)

    def fake(self, c: Tensor) -> Tensor:
        """Images (n, C, R, R) for labels c (n, num_classes), with style mixing."""

        def draw() -> Tensor:
            return self.generator.mapping(self.sample_z(len(c)), c)

        return self.generator.synthesis(style_mixing(draw(), draw, self.style_mixing))

    def sample_z(self, n: int) -> Tensor:
        """Latents (n, z_dim) ~ N(0, 1)."""
        return torch.randn(n, self.generator.z_dim, device=self.device, dtype=self.path_length_mean.dtype)

    def score(self, images: Tensor, c: Tensor) -> Tensor:
        """Logits (n, 1)."""
        return self.discriminator(images, c)

    def discriminator_loss(self, real: Tensor, c: Tensor) -> Tensor:
        with torch.no_grad():
            fake = self.fake(c)
        return discriminator_loss(self.score(fake, c), self.score(real, c))

    def r1_penalty(self, real: Tensor, c: Tensor) -> Tensor:
        return self.r1(lambda images: self.score(images, c), real)

    def path_length_penalty(self, c: Tensor) -> Tensor:
        c = c[: max(len(c) // self.path_length.batch_shrink, 1)]
        ws = self.generator.mapping(self.sample_z(len(c)), c)
        penalty, mean, _ = self.path_length(
            self.generator.synthesis, ws, self.path_length_mean, distributed.average
        )
        self.path_length_mean.copy_(mean)
        return penalty

    def _due(self, every: int) -> bool:
        return every > 0 and self.iteration % every == 0

    @contextmanager
    def training_only(self, network: nn.Module) -> Iterator[None]:
        """Gradients for the one network alone."""
        for other in (self.generator, self.discriminator):
            other.requires_grad_(other is network)
        yield

    def _descend(
        self,
        name: str,
        optimizer: torch.optim.Optimizer,
        loss: Callable[[Tensor, Tensor], Tensor],
        parts: list[tuple[Tensor, Tensor]],
        weight: float = 1.0,
    ) -> None:
        """One step of the optimiser down the mean of the loss over parts and processes, times weight."""
        optimizer.zero_grad()
        values = []
        for part in parts:
            value = loss(*part)
            self.manual_backward(value * (weight / len(parts)))
            values.append(value.detach())
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        distributed.average_gradients(parameters)
        if self.low_precision:  # float16 can overflow in a single gradient; ADA's code does the same
            for p in parameters:
                if p.grad is not None:
                    torch.nan_to_num(p.grad, nan=0, posinf=1e5, neginf=-1e5, out=p.grad)
        optimizer.step()
        self.losses[name] = torch.stack(values).mean()

    def _advance(self, images: int) -> None:
        """Running averages, then the counters; stop if a loss is no finite number."""
        w_avg = self.generator.mapping.w_avg
        w_avg.copy_(distributed.average(w_avg))
        values = distributed.average(torch.stack(list(self.losses.values())))
        self.losses = dict(zip(self.losses, values))
        self._check_finite(values)
        if self.ema:
            self.ema.update(self.average, self.generator, images, self.images)
        self.iteration += 1
        self.images += images

    def _check_finite(self, values: Tensor) -> None:
        bad = [name for name, value in zip(self.losses, values.tolist()) if not math.isfinite(value)]
        if bad:
            raise Diverged(
                f"iteration {self.iteration} ({self.images / 1000:.1f} kimg): {', '.join(bad)} is NaN or "
                "infinite. Lower model.learning_rate, raise model.r1.gamma, or, with low-precision blocks, "
                "keep model.scalings.clamp at 256 or set the blocks to 0."
            )


class TrainingData(pl.LightningDataModule):
    """The images in the order of one seed, from where the module's image counter stands."""

    def __init__(self, data: ImageData, batch: int, seed: int):
        super().__init__()
        self.data, self.batch, self.seed = data, batch, seed

    def train_dataloader(self):
        world = self.trainer.world_size
        return self.data.loader(
            self.batch // world,
            seed=self.seed,
            rank=self.trainer.global_rank,
            world_size=world,
            start=self.trainer.lightning_module.images,
        )


def check_batch(batch: int, batch_per_device: int | None, processes: int, group: int | None) -> None:
    """Refuse, before anything starts, a batch that cannot be split evenly.

    Args:
        batch: Images an iteration, over all processes.
        batch_per_device: Images a process takes at once. None: all of its share.
        processes: Number of processes.
        group: Samples in a group of the minibatch stddev; None: all.

    Raises:
        InputError: It cannot.
    """
    part = batch_per_device or batch // processes
    if batch < 1 or part < 1 or batch % (processes * part):
        raise InputError(
            f"batch is {batch}, to be split over {processes} process{'es' if processes > 1 else ''} in parts "
            f"of batch_per_device {part}: it must divide evenly. Set batch to a multiple of "
            f"{processes * max(part, 1)}."
        )
    if group is not None and part > group and part % group:
        raise InputError(
            f"each device takes {part} images at once, which minibatch-stddev groups of {group} do not "
            f"divide. Set batch_per_device to a multiple of {group}, or model.discriminator.minibatch_group "
            f"to a divisor of {part}."
        )
