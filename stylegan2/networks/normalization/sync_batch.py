"""Batch normalization over all processes of a distributed run (1502.03167; the PyTorch documentation)."""

from __future__ import annotations

from torch import Tensor, nn

from .across_processes import summed
from .base import affine_parameters, in_layers, per_channel, scaled_and_shifted
from .batch import R1_NOTE, RunningMoments


@in_layers("sync_batch", couples_samples=True, notes={"r1": R1_NOTE, "r2": R1_NOTE})
class SyncBatchNorm(nn.Module):
    """y = γ·(x - μ)/√(σ² + ε) + β, with μ and σ² over the samples of all processes, and pixels.

    `torch.nn.SyncBatchNorm` has no second derivative, which R1 and path length need. Here the sums over processes are
    differentiable to any order. In a single process it is batch normalization.
    """

    def __init__(self, num_features: int, eps: float = 1e-5, momentum: float = 0.1, affine: bool = True):
        super().__init__()
        self.eps = eps
        self.moments = RunningMoments(num_features, momentum)
        affine_parameters(self, num_features, affine)

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            count = summed(x.new_tensor(x[:, 0].numel()))
            mean = summed(x.sum(dim=(0, 2, 3))) / count
            var = summed((x - per_channel(mean)).square().sum(dim=(0, 2, 3))) / count
            self.moments.update(mean, var, int(count))
        else:
            mean, var = self.moments(x)
        normalized = (x - per_channel(mean)) * per_channel((var + self.eps).rsqrt())
        return scaled_and_shifted(self, normalized)
