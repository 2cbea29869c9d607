"""Faster implementations of the networks' layers. They equal their definitions up to rounding.

They need no compiler and work on any device. They make fewer passes over memory. For a single sample, they
modulate the kernel instead of the features if that is less work. They can cache what depends on weights alone
(`fixed_weights`), and they keep float16 in range.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from stylegan2.ops import conv2d_resample, outside_autocast

from .dispatch import bias_act
from .weight_cache import cached


def equalized(weight: Tensor, gain: float) -> Tensor:
    """`stylegan2.networks.layers.equalized`. The product is cached within `fixed_weights`."""
    return weight if gain == 1 else cached(torch.mul, weight, gain)


def modulated_conv2d(
    x: Tensor,
    weight: Tensor,
    styles: Tensor | None,
    bias: Tensor | None = None,
    noise: Tensor | None = None,
    *,
    demodulate: bool = True,
    up: int = 1,
    down: int = 1,
    padding: int = 0,
    filter: Tensor | None = None,
    flip_weight: bool = True,
    filter_gain: float = 1.0,
    normalize: Callable[[Tensor], Tensor] | None = None,
    scale: Tensor | None = None,
    activation: str = "linear",
    gain: float | None = None,
    clamp: float | None = None,
) -> Tensor:
    """`stylegan2.networks.layers.modulated_conv2d`."""
    if demodulate and styles is not None:
        if x.dtype == torch.float16:
            # Demodulation cancels any factor on weights or styles. These factors keep float16 in range.
            weight = cached(_normalized, weight)
            styles = styles / _at_least_tiny(styles.abs().amax(dim=1, keepdim=True))
        demodulation = _demodulation(weight, styles)
        scale = demodulation if scale is None else scale * demodulation
    # Modulating the kernel of a single sample is less work if the kernel is much smaller than the features.
    if styles is None:
        pass
    elif x.shape[0] == 1 and 4 * weight.numel() < x.numel():
        weight = weight * styles[0, :, None, None]
    else:
        x = x * styles.to(x.dtype)[:, :, None, None]
    weight = cached(Tensor.to, weight, x.dtype)
    x = conv2d_resample(x, weight, filter, up, down, padding, flip_weight=flip_weight, gain=filter_gain)
    if normalize is not None:
        x = normalize(x)
    return bias_act(x, bias, activation, gain=gain, clamp=clamp, scale=scale, noise=noise, inplace=True)


@outside_autocast
def _demodulation(weight: Tensor, styles: Tensor) -> Tensor:
    """Compute `demodulation_coefficients` of `networks/layers.py`, with the sums over pixels from the cache."""
    return torch.rsqrt(styles.square() @ cached(_power, weight) + 1e-8)


def _at_least_tiny(largest: Tensor) -> Tensor:
    """Largest absolute values to divide by. They are 0 where all values are, and 0/0 would be NaN."""
    return largest.clamp_min(torch.finfo(largest.dtype).tiny)


def _normalized(weight: Tensor) -> Tensor:
    """Scale each (I, k, k) kernel so that its largest absolute value is 1/√(I·k²)."""
    largest = _at_least_tiny(weight.abs().amax(dim=(1, 2, 3), keepdim=True))
    return weight / (largest * weight[0].numel() ** 0.5)


def _power(weight: Tensor) -> Tensor:
    """Sum weight² over a kernel's pixels, (O, I, k, k) -> (I, O). In memory order it is 30 times as fast."""
    if weight.stride(0) < weight.stride(1):
        return weight.transpose(0, 1).square().sum(dim=(2, 3))
    return weight.square().sum(dim=(2, 3)).t()


def choose_memory_order(network: nn.Module) -> None:
    """Store convolution kernels in the memory order in which they are read and get their gradients."""
    for layer in network.modules():
        weight = getattr(layer, "weight", None)
        if isinstance(weight, nn.Parameter) and weight.ndim == 4:
            transposed = getattr(layer, "up", 1) > 1
            weight.data = _channels_last(weight.data, transposed)


def _channels_last(weight: Tensor, transposed: bool) -> Tensor:
    if not transposed:
        return weight.contiguous(memory_format=torch.channels_last)
    return weight.transpose(0, 1).contiguous(memory_format=torch.channels_last).transpose(0, 1)
