"""Forced weight normalization (Karras et al. 2024, EDM2, arXiv 2312.02696, §2.3)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .base import Normalization, normalizations
from .weight import unit_length


@normalizations.register("forced_weight")
class ForcedWeightNormalization(Normalization):
    """ŵ = w/√(Σ w² + ε) for the kernel of each output channel, whose stored numbers are also kept at rms 1.

    A gradient through ŵ is orthogonal to w, so w grows with every step and the effective learning rate falls. In
    training mode, the stored kernel is therefore brought back to rms 1 before each forward pass.
    """

    def __init__(self, weight: Tensor, eps: float = 1e-8):
        super().__init__(weight)
        self.eps = eps

    def weight(self, weight: Tensor) -> Tensor:
        return unit_length(weight, self.eps)

    @torch.no_grad()
    def prepare(self, parameter: nn.Parameter) -> None:
        rms = parameter.square().mean(dim=(1, 2, 3), keepdim=True).sqrt().clamp_min(self.eps)
        # `data`, because the graph of an earlier pass may hold the parameter, whose values stay the same.
        parameter.data.div_(rms)
