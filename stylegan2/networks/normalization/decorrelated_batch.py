"""Decorrelated batch normalization (Huang et al. 2018, arXiv 1804.08450; 2019, 1904.03441)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .base import affine_parameters, in_layers, largest_divisor, scaled_and_shifted
from .batch import R1_NOTE


@in_layers("decorrelated_batch", couples_samples=True, notes={"r1": R1_NOTE, "r2": R1_NOTE})
class DecorrelatedBatchNorm(nn.Module):
    """y = γ·Σ^(-1/2)(x - μ) + β: ZCA whitening over samples and pixels, within groups of channels.

    Σ = covariance + ε·I. Its inverse root comes from the coupled Newton-Schulz iteration, whose derivatives are
    finite even where eigenvalues are equal. In evaluation mode, running means of μ and of Σ^(-1/2) replace them.

    Args:
        num_features: Number of channels.
        group_size: Upper limit of the channels in a group, which is the largest divisor of the number of channels
            within it.
        eps: ε.
        momentum: Share of a new batch in the running means.
        affine: Whether there are γ and β.
        iterations: Newton steps. An eigenvalue of the share s in the trace needs about log(1/s)/log(2.25) + 4.
    """

    running_mean: Tensor
    running_projection: Tensor

    def __init__(
        self,
        num_features: int,
        group_size: int = 16,
        eps: float = 1e-3,
        momentum: float = 0.1,
        affine: bool = True,
        iterations: int = 15,
    ):
        super().__init__()
        self.size = largest_divisor(num_features, group_size)
        self.eps, self.momentum, self.iterations = eps, momentum, iterations
        groups = num_features // self.size
        self.register_buffer("running_mean", torch.zeros(groups, self.size, 1))
        self.register_buffer("running_projection", torch.eye(self.size).repeat(groups, 1, 1))
        affine_parameters(self, num_features, affine)

    def forward(self, x: Tensor) -> Tensor:
        n, c, h, w = x.shape
        columns = x.transpose(0, 1).reshape(c // self.size, self.size, n * h * w)
        if self.training:
            mean = columns.mean(dim=2, keepdim=True)
            centered = columns - mean
            covariance = centered @ centered.transpose(1, 2) / columns.shape[2]
            eye = torch.eye(self.size, dtype=x.dtype, device=x.device)
            projection = inverse_root(covariance + self.eps * eye, self.iterations)
            with torch.no_grad():
                self.running_mean.lerp_(mean, self.momentum)
                self.running_projection.lerp_(projection, self.momentum)
        else:
            centered, projection = columns - self.running_mean, self.running_projection
        white = (projection @ centered).reshape(c, n, h, w).transpose(0, 1)
        return scaled_and_shifted(self, white)


def inverse_root(matrix: Tensor, iterations: int) -> Tensor:
    """Σ^(-1/2) of symmetric positive matrices (..., C, C) by the coupled Newton-Schulz iteration.

    Y → Y(3I - ZY)/2 and Z → (3I - ZY)Z/2 from Y = Σ/tr Σ and Z = I converge to (Σ/tr Σ)^(1/2) and its inverse.
    """
    eye = torch.eye(matrix.shape[-1], dtype=matrix.dtype, device=matrix.device)
    trace = matrix.diagonal(dim1=-2, dim2=-1).sum(-1)[..., None, None]
    y, z = matrix / trace, eye.expand_as(matrix)
    for _ in range(iterations):
        t = (3 * eye - z @ y) / 2
        y, z = y @ t, t @ z
    return z * trace.rsqrt()
