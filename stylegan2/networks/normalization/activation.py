"""ActNorm: a scale and a shift per channel that start from the first batch (Kingma and Dhariwal 2018, 1807.03039)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .across_processes import summed
from .base import in_layers, per_channel


@in_layers("activation")
class ActNorm(nn.Module):
    """y = s·(x + b). The first batch in training mode sets s and b so that y has mean 0 and variance 1.

    Afterwards both are ordinary parameters. With several processes, the first batch is that of all together.
    `initialized` is a buffer, so a network from a checkpoint is not set again.
    """

    initialized: Tensor

    def __init__(self, num_features: int, eps: float = 1e-5):
        super().__init__()
        self.eps = eps
        self.scale = nn.Parameter(torch.ones(num_features))
        self.bias = nn.Parameter(torch.zeros(num_features))
        self.register_buffer("initialized", torch.tensor(False))

    def forward(self, x: Tensor) -> Tensor:
        if self.training and not self.initialized:
            self._initialize(x)
        return per_channel(self.scale) * (x + per_channel(self.bias))

    @torch.no_grad()
    def _initialize(self, x: Tensor) -> None:
        count = summed(x.new_tensor(x[:, 0].numel()))
        mean = summed(x.sum(dim=(0, 2, 3))) / count
        variance = summed((x - per_channel(mean)).square().sum(dim=(0, 2, 3))) / count
        self.bias.copy_(-mean)
        self.scale.copy_((variance + self.eps).rsqrt())
        self.initialized.fill_(True)
