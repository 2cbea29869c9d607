"""Cosine normalization of weights and features (Luo et al. 2017, arXiv 1702.05870)."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stylegan2.ops import outside_autocast, upfirdn2d
from stylegan2.ops.upfirdn2d import (
    add_padding,
    decimation_padding,
    insertion_padding,
    mean_gain,
    parse_padding,
)

from .base import Convolution, Normalization, normalizations
from .weight import unit_length


@normalizations.register("cosine")
class CosineNormalization(Normalization):
    """y = √n · w·x/(√(‖w‖² + ε)·√(‖x‖² + ε)) for each window x of n numbers that the kernel w meets.

    The cosine has a standard deviation of about 1/√n for random w and x, which the factor √n restores to 1. A window
    of zeros gives 0.
    """

    reads_input = True

    def __init__(self, weight: Tensor, eps: float = 1e-8):
        super().__init__(weight)
        self.eps, self.kernel, self.gain = eps, weight.shape[2], math.sqrt(weight[0].numel())

    def weight(self, weight: Tensor) -> Tensor:
        return unit_length(weight, self.eps)

    @outside_autocast
    def features(self, x: Tensor, source: Convolution | None = None) -> Tensor:
        if source is None:
            raise ValueError("expected the input of the convolution, which cosine normalization divides by")
        wide = torch.promote_types(x.dtype, torch.float32)
        energy = _window_energy(source._replace(x=source.x.to(wide)), self.kernel)
        return (x.to(wide) * (self.gain * torch.rsqrt(energy + self.eps))).to(x.dtype)


def _window_energy(source: Convolution, kernel: int) -> Tensor:
    """Σ x² of each window of the resampled input, (N, 1, H', W')."""
    around = parse_padding(kernel // 2)
    if source.up > 1:
        around = add_padding(around, insertion_padding(source.filter, source.up, source.up))
    if source.down > 1:
        around = add_padding(around, decimation_padding(source.filter, source.down, source.down))
    x, resampled = source.x, source.up > 1 or source.down > 1
    gain = source.gain * mean_gain(source.up, source.up)
    x = upfirdn2d(x, source.filter if resampled else None, source.up, 1, around, False, gain)
    ones = x.new_ones(1, 1, kernel, kernel)
    return F.conv2d(x.square().sum(dim=1, keepdim=True), ones, stride=source.down)


class CosineConv2d(nn.Conv2d):
    """A convolution whose output is the cosine between kernel and window, times √n. It takes no groups.

    The arguments are those of `torch.nn.Conv2d`. The padding must be zeros.
    """

    eps = 1e-8

    def forward(self, input: Tensor) -> Tensor:
        weight = unit_length(self.weight, self.eps)
        ones = input.new_ones(1, 1, *self.kernel_size)
        total = input.square().sum(dim=1, keepdim=True)
        where = (self.stride, self.padding, self.dilation)
        energy = F.conv2d(total, ones, None, *where)  # type: ignore[arg-type]
        y = F.conv2d(input, weight, None, *where)  # type: ignore[arg-type]
        y = y * (math.sqrt(self.weight[0].numel()) * torch.rsqrt(energy + self.eps))
        return y if self.bias is None else y + self.bias[:, None, None]
