"""The training loop: one iteration of StyleGAN2, as a LightningModule with manual optimization."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from stylegan2.augment import augmentations
from stylegan2.data import to_float
from stylegan2.errors import InputError
from stylegan2.formats import native
from stylegan2.networks.discriminator import Discriminator
from stylegan2.networks.generator import Generator
from stylegan2.sizes import side

from . import distributed, normalization
from .config import TrainingConfig
from .divergence import LossCheck
from .draws import Draws
from .losses import losses
from .memory import is_out_of_memory, too_large
from .regularizers import Regularizer, name_of

MicroBatch = tuple[Tensor, Tensor]
"""Real images (n, C, H, W) in [-1, 1] and labels (n, num_classes)."""

PRECISIONS = ("32-true", "64-true", "bf16-mixed")
"""Values of Lightning's `Trainer(precision=...)` in which the loop trains."""


class StyleGAN2(pl.LightningModule):
    """Generator and discriminator with their losses, optimizers, the generator EMA and counters.

    The module counts iterations and images itself, because Lightning's global_step counts every step of every
    optimizer.

    Args:
        generator: Network G.
        discriminator: Network D.
        config: Losses, optimizers, regularizers and the generator EMA.
        batch: Images per iteration, over all processes.
        batch_per_device: Images per micro-batch, which a process computes at once. The gradients of its
            micro-batches are averaged. None: one micro-batch per process.

    Raises:
        InputError: A penalty cannot be computed through a normalization.
    """

    def __init__(
        self,
        generator: Generator,
        discriminator: Discriminator,
        config: TrainingConfig = TrainingConfig(),  # noqa: B008 (frozen)
        *,
        batch: int = 32,
        batch_per_device: int | None = None,
    ):
        super().__init__()
        self.automatic_optimization = False
        self.generator, self.discriminator, self.config = generator, discriminator, config
        self.generator_ema: Generator | None = None
        if config.ema:
            self.generator_ema = copy.deepcopy(generator).eval().requires_grad_(False)
        self.augmentation = augmentations[config.augment].configured(config.ada)
        self.loss = losses[config.loss]
        self.regularizers: dict[str, Regularizer] = {}
        for regularizer in config.regularizers:
            self.regularizers[name_of(regularizer)] = regularizer.resolved(side(generator.image_size), batch)
            for buffer in regularizer.state:
                self.register_buffer(buffer, torch.zeros([]))
        self.notes = normalization.check_penalties(generator, discriminator, self.regularizers.values())
        """What the user should know of this combination of normalizations and penalties."""
        self.batch, self.batch_per_device = batch, batch_per_device
        self.learning_rate = config.learning_rate_at(side(generator.image_size))
        self.draws = Draws()
        self.class_names: list[str] = []
        self.iteration = self.images = 0
        self.losses: dict[str, Tensor] = {}
        """Losses and penalties of the latest iteration: scalars, averaged over micro-batches and processes."""
        self.statistics: dict[str, Tensor] = {}
        """Means over the real and generated images that D was trained on in the latest iteration: the sign of its
        logits for real images (r_t, ADA §3), and its logits. Scalars, averaged over processes."""
        self._logits: list[tuple[Tensor, Tensor]] | None = None
        self._compiled = False
        self.loss_check = LossCheck()

    @property
    def sampling_generator(self) -> Generator:
        """The network that makes the samples: `generator_ema`, or the generator if there is no EMA."""
        return self.generator if self.generator_ema is None else self.generator_ema

    def setup(self, stage: str) -> None:
        """Refuse a precision of the trainer in which this loop does not train.

        Raises:
            InputError: The trainer would scale losses, which penalties on gradients do not stand, or keep weights and
                their averages in 16 bits, which lose small steps.
        """
        if self.trainer.precision not in PRECISIONS:
            raise InputError(
                f"Expected a trainer with precision {', '.join(PRECISIONS)}, found {self.trainer.precision}. For "
                "float16 leave it at 32-true, and set low_precision_blocks of both networks, such as 4."
            )

    def configure_optimizers(self) -> list[torch.optim.Optimizer]:
        """Adam for G and Adam for D, each corrected for lazy regularization (SG2 app. B)."""
        return [self._adam("generator"), self._adam("discriminator")]

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Convert checkpoints of version 0.1. Another augmentation than the checkpoint's begins anew."""
        native.upgrade(checkpoint)
        native.keep_own(checkpoint["state_dict"], self.state_dict(), "augmentation.")

    def _adam(self, network: str) -> torch.optim.Adam:
        intervals = [r.every for _, r in self._regularizers_of(network)]
        # If a network has several penalties, the shortest interval decides.
        c = self.config.scalings.lazy(min(intervals)).exponent if intervals else 1.0
        adam = torch.optim.Adam(
            getattr(self, network).parameters(),
            lr=self.learning_rate * c,
            betas=(self.config.betas[0] ** c, self.config.betas[1] ** c),
            eps=1e-8,
        )
        adam.register_load_state_dict_pre_hook(_keep_settings)
        return adam

    def _regularizers_of(self, network: str) -> list[tuple[str, Regularizer]]:
        return [(n, r) for n, r in self.regularizers.items() if r.network == network and r.every > 0]

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int = 0) -> None:
        """One iteration on a batch from the data loader.

        Raises:
            InputError: Memory is short. The message names the micro-batch that fits.
        """
        enough = True
        try:
            self.iterate(*batch, *self.optimizers())
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            enough = False
        if not enough:  # not in the except clause, where the error keeps the tensors of the iteration alive
            raise too_large(self, *self._as_float(*batch))

    def iterate(
        self,
        reals: Tensor,
        labels: Tensor,
        opt_g: torch.optim.Optimizer,
        opt_d: torch.optim.Optimizer,
    ) -> None:
        """Run one iteration: G and its penalties that are due, D and its penalties that are due, then the EMA.

        Args:
            reals: (n, C, H, W) with n = batch / processes, either uint8 or floating point in [-1, 1].
            labels: (n, num_classes). Generated images get the labels of the real images.
            opt_g: Optimizer of G.
            opt_d: Optimizer of D.

        Raises:
            Diverged: A loss is NaN or infinite.
        """
        reals, labels = self._as_float(reals, labels)
        size = self.batch_per_device or len(reals)
        micro_batches = list(zip(reals.split(size), labels.split(size)))
        self._logits = []
        self.losses = {}  # otherwise a penalty would stay here in iterations that do not evaluate it

        with frozen(self.discriminator):
            self._descend("loss_g", opt_g, self.generator_loss, micro_batches)
            self._regularize("generator", opt_g, micro_batches)
        with frozen(self.generator):
            self._descend("loss_d", opt_d, self.discriminator_loss, micro_batches)
            self._regularize("discriminator", opt_d, micro_batches)
        self._advance()

    def _as_float(self, reals: Tensor, labels: Tensor) -> MicroBatch:
        reals = reals if reals.is_floating_point() else to_float(reals)
        weight = next(self.parameters())
        return reals.to(weight), labels.to(weight)

    def generator_loss(self, real: Tensor, c: Tensor) -> Tensor:
        """G's loss, a scalar, on generated images with labels c (n, num_classes); `real` is (n, C, H, W)."""
        fake_logits = self.score(self.fake(c), c)
        return self.loss.generator(
            fake_logits, self.score(real, c) if self.loss.generator_sees_reals else None
        )

    def discriminator_loss(self, real: Tensor, c: Tensor) -> Tensor:
        """D's loss, a scalar, on real images (n, C, H, W) and generated images, both with labels c."""
        with torch.no_grad():
            fake = self.fake(c)
        fake_logits, real_logits = self.score(fake, c), self.score(real, c)
        if self._logits is not None:  # within an iteration
            self._logits.append((real_logits.detach(), fake_logits.detach()))
        return self.loss.discriminator(fake_logits, real_logits)

    def penalty(self, name: str, real: Tensor, c: Tensor) -> Tensor:
        """The penalty of a regularizer, a scalar, without the factor of lazy regularization."""
        # Compiled networks have no second derivatives, which R1 and path length need.
        with torch.compiler.set_stance("force_eager") if self._compiled else nullcontext():
            return self.regularizers[name].penalty(self, real, c)

    def compile_networks(self) -> None:
        """Let `torch.compile` make the adversarial losses faster. The penalties are computed as before."""
        self._compiled = True
        self.generator.synthesis.compile()
        self.discriminator.compile()

    def fake(self, c: Tensor) -> Tensor:
        """Generated images (n, C, H, W) of new latents with labels c (n, num_classes), with style mixing."""
        return self.generator.synthesis(self.ws(c))

    def ws(self, c: Tensor) -> Tensor:
        """ws (n, num_ws, w_dim) of new latents with labels c (n, num_classes), with style mixing (SG1 §3.1).

        Mixing replaces the rows from a random one on by those of other latents. Only the first latents update
        the running mean of w.
        """
        mapping, num_ws = self.generator.mapping, self.generator.num_ws
        ws = mapping(self._z(c), c)
        cutoff = self.draws.crossover(num_ws, self.config.style_mixing)
        if cutoff == num_ws:
            return ws
        others = mapping(self._z(c), c, update_w_avg=False)
        return torch.cat([ws[:, :cutoff], others[:, cutoff:]], dim=1)

    def _z(self, c: Tensor) -> Tensor:
        return self.draws.z(c.shape[0], c, self.generator.z_dim)

    def score(self, images: Tensor, c: Tensor) -> Tensor:
        """Logits (n, 1) of augmented images."""
        return self.discriminator(self.augmentation(images), c)

    def _regularize(
        self, network: str, optimizer: torch.optim.Optimizer, micro_batches: Sequence[MicroBatch]
    ) -> None:
        """Take one optimizer step for each penalty that is due in this iteration."""
        for name, regularizer in self._regularizers_of(network):
            if self.iteration % regularizer.every == 0:
                weight = self.config.scalings.lazy(regularizer.every).weight
                self._descend(
                    name, optimizer, lambda *data, name=name: self.penalty(name, *data), micro_batches, weight
                )

    def _descend(
        self,
        name: str,
        optimizer: torch.optim.Optimizer,
        loss: Callable[[Tensor, Tensor], Tensor],
        micro_batches: Sequence[MicroBatch],
        weight: float = 1.0,
    ) -> None:
        """Take one optimizer step on `weight` times the mean of the loss over micro-batches and processes."""
        optimizer.zero_grad()
        values = []
        for real, c in micro_batches:
            value = loss(real, c)
            (value * (weight / len(micro_batches))).backward()
            values.append(value.detach())
        parameters = [p for group in optimizer.param_groups for p in group["params"] if p.requires_grad]
        for p in parameters:
            if p.grad is None:  # the loss does not depend on p; with gradient 0, Adam's second moment decays
                p.grad = torch.zeros_like(p)
        distributed.average_gradients(parameters)
        if self._has_low_precision:  # a gradient can overflow in float16; ADA's code does the same
            for p in parameters:
                torch.nan_to_num(p.grad, nan=0, posinf=1e5, neginf=-1e5, out=p.grad)
        optimizer.step()
        self.losses[name] = torch.stack(values).mean()

    @property
    def _has_low_precision(self) -> bool:
        return any(n.config.low_precision_blocks for n in (self.generator, self.discriminator))

    def _advance(self) -> None:
        """Average over processes, check the losses, and update augmentation, generator EMA and counters."""
        w_avg = self.generator.mapping.w_avg
        w_avg.copy_(distributed.average(w_avg))
        normalization.advance((self.generator, self.discriminator), self.images + self.batch)
        real, fake = (torch.cat(logits) for logits in zip(*(self._logits or ())))
        self._logits = None
        means = {"r_t": real.sign().mean(), "logits_real": real.mean(), "logits_fake": fake.mean()}
        values = distributed.average(torch.stack([*self.losses.values(), *means.values()]))
        self.losses = dict(zip(self.losses, values))
        self.statistics = dict(zip(means, values[len(self.losses) :]))
        self.loss_check.add(self.iteration, self.images, self.losses)
        self.augmentation.adapt(self.statistics["r_t"], self.batch)
        if self.config.ema and self.generator_ema is not None:
            self.config.ema.update(self.generator_ema, self.generator, self.batch, self.images)
        self.iteration += 1
        self.images += self.batch


def _keep_settings(optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> dict[str, Any]:
    """Keep the learning rate and betas of the configuration when an optimizer's state is loaded."""
    groups = [
        saved | {name: value for name, value in ours.items() if name != "params"}
        for saved, ours in zip(state["param_groups"], optimizer.param_groups)
    ]
    return state | {"param_groups": groups}


@contextmanager
def frozen(network: nn.Module) -> Iterator[None]:
    """Turn off gradients of a network's parameters inside the block, and restore them afterwards."""
    parameters = [p for p in network.parameters() if p.requires_grad]
    for p in parameters:
        p.requires_grad_(False)
    try:
        yield
    finally:
        for p in parameters:
            p.requires_grad_(True)
