"""Division by a running root mean square (Karras et al. 2021, StyleGAN3, arXiv 2106.12423, §3.2)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .base import in_layers


@in_layers("running_magnitude")
class RunningMagnitude(nn.Module):
    """y = x/√(m + ε), where m is an exponential moving average of the mean of x² over samples, channels and pixels.

    m has no gradient, and evaluation uses it unchanged. StyleGAN3 updates it with a half-life of 20 kimg, which with
    batches of 32 is a momentum of 0.001. The first batch sets it.
    """

    magnitude: Tensor
    initialized: Tensor

    def __init__(self, num_features: int, eps: float = 1e-8, momentum: float = 0.001):
        super().__init__()
        self.eps, self.momentum = eps, momentum
        self.register_buffer("magnitude", torch.ones([]))
        self.register_buffer("initialized", torch.tensor(False))

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            with torch.no_grad():
                share = self.momentum if self.initialized else 1.0
                self.magnitude.lerp_(x.square().mean(), share)
                self.initialized.fill_(True)
        return x * torch.rsqrt(self.magnitude + self.eps)
