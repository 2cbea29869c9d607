"""Spectral normalization of weights (Miyato et al. 2018, arXiv 1802.05957)."""

import torch
import torch.nn.functional as F
from torch import Tensor

from stylegan2.ops import outside_autocast

from .base import Normalization, normalizations


@normalizations.register("spectral")
class SpectralNormalization(Normalization):
    """W / σ₁(W), where σ₁ is the largest singular value of the kernels as a matrix (O, I·k²).

    σ₁ = uᵀWv, with u and v from the power method. It takes 15 steps at initialization, then one step per call
    in training mode. Both vectors are buffers, so checkpoints and the generator EMA hold them.
    """

    u: Tensor
    v: Tensor

    def __init__(self, weight: Tensor):
        super().__init__(weight)
        matrix = weight.flatten(1)
        self.register_buffer("u", F.normalize(torch.randn(len(matrix)).to(matrix), dim=0))
        self.register_buffer("v", F.normalize(torch.randn(matrix.shape[1]).to(matrix), dim=0))
        self._power_steps(matrix, 15)

    @outside_autocast
    def weight(self, weight: Tensor) -> Tensor:
        matrix = weight.flatten(1)
        if self.training:
            self._power_steps(matrix, 1)
        # The clones keep the values that this call's gradient needs, when a later call changes u and v.
        return weight / (self.u.clone() @ (matrix @ self.v.clone()))

    @torch.no_grad()
    def _power_steps(self, matrix: Tensor, steps: int) -> None:
        for _ in range(steps):
            self.v.copy_(F.normalize(matrix.t() @ self.u, dim=0))
            self.u.copy_(F.normalize(matrix @ self.v, dim=0))
