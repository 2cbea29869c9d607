"""Batch normalization of features (Ioffe and Szegedy 2015, arXiv 1502.03167)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .base import in_layers, per_channel

R1_NOTE = (
    "the gradient of a sample's logit also flows to the other samples of the batch, so the penalty is that of the "
    "summed logits of a batch"
)


@in_layers("batch", couples_samples=True, notes={"r1": R1_NOTE, "r2": R1_NOTE})
class BatchNorm(nn.BatchNorm2d):
    """y = γ·(x - μ)/√(σ² + ε) + β, with μ and σ² over samples and pixels.

    In evaluation mode, running means of μ and of the unbiased variance replace them. It is `torch.nn.BatchNorm2d`,
    and also defined where the batch has one value per channel, which becomes β.
    """

    def forward(self, input: Tensor) -> Tensor:
        if self.training and input.shape[0] * input.shape[2] * input.shape[3] == 1:
            return single(self, input)
        return super().forward(input)


def single(norm: nn.BatchNorm2d, x: Tensor) -> Tensor:
    """The result of normalization for one value per channel, which is its own mean: 0, or β."""
    return x * 0 if norm.bias is None else x * 0 + per_channel(norm.bias)


class RunningMoments(nn.Module):
    """Mean and variance over samples and pixels, and their running means for evaluation.

    Args:
        num_features: C.
        momentum: Share of a new batch in the running means.
    """

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, num_features: int, momentum: float = 0.1):
        super().__init__()
        self.momentum = momentum
        self.register_buffer("running_mean", torch.zeros(num_features))
        self.register_buffer("running_var", torch.ones(num_features))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(mean, biased variance) of x (N, C, H, W) in training mode, else the running means, both (C,)."""
        if not self.training:
            return self.running_mean, self.running_var
        mean, var = x.mean(dim=(0, 2, 3)), x.var(dim=(0, 2, 3), unbiased=False)
        self.update(mean, var, x[:, 0].numel())
        return mean, var

    @torch.no_grad()
    def update(self, mean: Tensor, var: Tensor, count: int) -> None:
        """Move the running means towards those of a batch of `count` values per channel."""
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(var * (count / max(count - 1, 1)), self.momentum)
