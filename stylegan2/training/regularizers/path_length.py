"""Path length regularization (SG2 §3.2, app. B)."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from stylegan2.errors import InputError
from stylegan2.registry import check_choices
from stylegan2.training import distributed

from . import Regularizer, Training, regularizers


@regularizers.register("path_length")
@dataclass(frozen=True, kw_only=True)
class PathLength(Regularizer):
    """weight · E (‖Jᵀy‖ - a)², where J is the Jacobian of the image with respect to w and y is noise.

    a is the running mean of ‖Jᵀy‖.
    """

    network: ClassVar[Literal["generator", "discriminator"]] = "generator"
    state: ClassVar[tuple[str, ...]] = ("path_length_mean",)

    weight: float = 2.0
    """Weight of the penalty."""

    every: int = 4
    """Iterations between two evaluations (lazy regularization, SG2 app. B). 0: never."""

    decay: float = 0.01
    """Share by which the running mean moves to the mean of the batch."""

    batch_shrink: int = 2
    """The penalty is evaluated on 1/batch_shrink of a micro-batch, to save memory."""

    normalize_by_image_size: Literal["unit_length"] | bool = True
    """Divide y ~ N(0, 1) by √(H·W), so that the length does not grow with the resolution (SG2's code). unit_length
    divides the y of each image by its own length, which makes lengths smaller by √C. false leaves y as it is."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choices(self)
        if not 0 <= self.weight < math.inf or not 0 < self.decay <= 1 or self.batch_shrink < 1:
            raise InputError(
                "Expected path_length.weight of 0 or more, decay above 0 and up to 1, and batch_shrink of 1 or more, "
                f"found {self.weight}, {self.decay} and {self.batch_shrink}."
            )

    def __call__(
        self,
        synthesis: Callable[[Tensor], Tensor],
        ws: Tensor,
        mean: Tensor,
        average: Callable[[Tensor], Tensor] = lambda length: length,
        draw: Callable[[Tensor], Tensor] = torch.randn_like,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Evaluate the penalty.

        Args:
            synthesis: Function of ws that returns images (N, C, H, W).
            ws: (N, num_ws, w_dim), attached to the graph of the mapping network.
            mean: The running mean a, a scalar. It is 0 at the start.
            average: Differentiable mean over processes.
            draw: Function of the images that returns noise ~ N(0, 1) of their shape, which is y before the
                division by √(H·W).

        Returns:
            The penalty, a scalar; the new running mean, detached; the lengths (N,), detached.
        """
        lengths = self.lengths(synthesis, ws, draw)
        # The gradient flows through the updated mean too.
        mean = mean + self.decay * (average(lengths.mean()) - mean)
        return self.weight * (lengths - mean).square().mean(), mean.detach(), lengths.detach()

    def lengths(
        self,
        synthesis: Callable[[Tensor], Tensor],
        ws: Tensor,
        draw: Callable[[Tensor], Tensor] = torch.randn_like,
    ) -> Tensor:
        """Path lengths (N,), one per sample: √(mean over the rows of ws of Σ_dim j²), j = ∇_ws Σ(image · y)."""
        images = synthesis(ws)
        y = draw(images)
        if self.normalize_by_image_size == "unit_length":
            y = y / torch.linalg.vector_norm(y, dim=(1, 2, 3), keepdim=True)
        elif self.normalize_by_image_size:
            y = y / math.sqrt(images.shape[2] * images.shape[3])
        (jacobian,) = torch.autograd.grad((images * y).sum(), ws, create_graph=True)
        squares = jacobian.square().sum(dim=2).mean(dim=1)
        # √ has an infinite slope at 0, a length that a constant generator gives. Such samples get gradient 0.
        return torch.where(squares > 0, squares, 1).sqrt() * (squares > 0)

    def penalty(self, training: Training, real: Tensor, c: Tensor) -> Tensor:
        ws = training.ws(c[: max(len(c) // self.batch_shrink, 1)])
        running = training.get_buffer("path_length_mean")
        penalty, mean, _ = self(
            training.generator.synthesis,
            ws,
            running,
            distributed.average,
            training.draws.pixels,
        )
        running.copy_(mean)
        return penalty
