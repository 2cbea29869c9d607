"""Virtual batch normalization of features (Salimans et al. 2016, arXiv 1606.03498, §3.4)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from .base import affine_parameters, in_layers, per_channel, scaled_and_shifted

REFERENCE = 16
"""Number of samples in the reference batch of a network."""


@in_layers("virtual_batch")
class VirtualBatchNorm(nn.Module):
    """y = γ·(x - μ)/√(σ² + ε) + β, with the moments of a reference batch of n samples and of the sample itself.

    μ and σ² + μ² are the means of x and x² over pixels and n + 1 samples. Samples of a batch do not depend on each
    other. The moments of the reference come from a pass of the reference through the network (`Reference`). A module
    on its own takes its first batch in training mode as the reference.
    """

    reference_mean: Tensor
    reference_square: Tensor
    reference_count: Tensor

    def __init__(self, num_features: int, eps: float = 1e-5, affine: bool = True):
        super().__init__()
        self.eps = eps
        self.register_buffer("reference_mean", torch.zeros(num_features))
        self.register_buffer("reference_square", torch.ones(num_features))
        self.register_buffer("reference_count", torch.zeros([]))
        affine_parameters(self, num_features, affine)
        self.collecting = False
        self.live: tuple[Tensor, Tensor] | None = None
        """The moments of the reference in this pass, with their graph."""

    def forward(self, x: Tensor) -> Tensor:
        if self.collecting or (self.training and self.reference_count == 0):
            mean, square = self._take(x)
        else:
            n = self.reference_count.clone()  # a later pass changes the buffers
            mean, square = self.live or (self.reference_mean.clone(), self.reference_square.clone())
            mean = (x.mean(dim=(2, 3)) + n * mean) / (n + 1)
            square = (x.square().mean(dim=(2, 3)) + n * square) / (n + 1)
        var = (square - mean.square()).clamp_min(0)
        normalized = (x - per_channel(mean)) * per_channel((var + self.eps).rsqrt())
        return scaled_and_shifted(self, normalized)

    def _take(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Keep the moments of a reference batch."""
        mean, square = x.mean(dim=(0, 2, 3)), x.square().mean(dim=(0, 2, 3))
        with torch.no_grad():
            self.reference_mean.copy_(mean)
            self.reference_square.copy_(square)
            self.reference_count.fill_(len(x))
        self.live = (mean, square) if self.collecting else None
        return mean, square


class Reference(nn.Module):
    """The reference batch of a network, which passes through the network before every batch.

    It is a buffer, so it is in checkpoints. Until `fill` is called, it is empty, and the first batch in training mode
    fills it.

    Args:
        shape: Shape of an input (C, H, W) or (num_ws, w_dim).
        num_classes: Width of the labels.
        count: Number of samples.
    """

    inputs: Tensor
    labels: Tensor
    filled: Tensor

    def __init__(self, shape: tuple[int, ...], num_classes: int = 0, count: int = REFERENCE):
        super().__init__()
        self.register_buffer("inputs", torch.zeros(count, *shape))
        self.register_buffer("labels", torch.zeros(count, num_classes))
        self.register_buffer("filled", torch.tensor(False))

    @torch.no_grad()
    def fill(self, inputs: Tensor, labels: Tensor | None = None) -> None:
        """Take the first samples of a batch as the reference. A smaller batch is repeated."""
        rows = torch.arange(len(self.inputs)) % len(inputs)
        self.inputs.copy_(inputs[rows.to(inputs.device)])
        if labels is not None and self.labels.shape[1]:
            self.labels.copy_(labels[rows.to(labels.device)])
        self.filled.fill_(True)

    def passes(
        self,
        network: nn.Module,
        run: Callable[[Tensor, Tensor | None], Tensor],
        inputs: Tensor,
        labels: Tensor | None,
    ) -> Tensor:
        """`run(inputs, labels)`, after a pass of the reference that gives every layer its moments."""
        if not self.filled:
            self.fill(inputs, labels)
        with _collecting(network):
            run(self.inputs.to(inputs.dtype), self.labels if self.labels.shape[1] else None)
        try:
            return run(inputs, labels)
        finally:
            for module in _virtual(network):
                module.live = None


def _virtual(network: nn.Module) -> list[VirtualBatchNorm]:
    return [module for module in network.modules() if isinstance(module, VirtualBatchNorm)]


@contextmanager
def _collecting(network: nn.Module) -> Iterator[None]:
    for module in _virtual(network):
        module.collecting = True
    try:
        yield
    finally:
        for module in _virtual(network):
            module.collecting = False
