"""The layers of StyleGAN2: equalized linear and convolution, modulated convolution, minibatch stddev.

Each heads with its equation. Weights are stored as the official state dictionaries store them, under the same
names. A `clamp` bounds the activations before the layer's own `gain`.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from stylegan2.kernels import weight_cache as once
from stylegan2.networks.scalings import Scalings
from stylegan2.ops import bias_act, conv2d_resample, setup_filter

Noise = Literal["random", "const", "none"]
MEMORY_FORMAT = torch.channels_last
"""Of the features in both networks: convolutions are faster in it on CPUs, and on GPUs in low precision."""


def laid_out(weight: Tensor, up: int = 1) -> Tensor:
    """A kernel (O, I, k, k) in the memory order that its convolution reads and gives its gradient in."""
    if up == 1:
        return weight.contiguous(memory_format=MEMORY_FORMAT)
    return weight.transpose(0, 1).contiguous(memory_format=MEMORY_FORMAT).transpose(0, 1)  # transposed


class EqualizedLinear(nn.Module):
    """Linear layer with equalized learning rate: y = gain · act((λ·c·W) x + λ·b), c = 1/√in.

    Weights start as N(0, 1/λ²) and are scaled at every forward pass, so Adam moves all layers at the same
    relative speed, λ times slower where asked for (PGGAN §4.1; SG1 app. C for λ).

    Shape: (N, in_features) -> (N, out_features).
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        scalings: Scalings,
        bias: bool = True,
        activation: str = "linear",
        bias_init: float = 0.0,
        lr_multiplier: float = 1.0,
    ):
        super().__init__()
        std, runtime = scalings.weight(in_features)
        self.activation, self.gain = activation, scalings.gain(activation)
        self.weight_gain, self.bias_gain = runtime * lr_multiplier, lr_multiplier
        self.weight = nn.Parameter(torch.randn(out_features, in_features) * (std / lr_multiplier))
        self.bias = nn.Parameter(torch.full((out_features,), bias_init / lr_multiplier)) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        # In small batches scaling x is less work than scaling the weight.
        x = (x * self.weight_gain) @ self.weight.to(x.dtype).t()
        bias = None if self.bias is None else self.bias * self.bias_gain
        return bias_act(x, bias, self.activation, gain=self.gain, inplace=True)


class EqualizedConv2d(nn.Module):
    """Convolution with equalized learning rate: y = gain · act((c·W) * x + b), c = 1/√(in·k²) (PGGAN §4.1).

    With up- or down-sampling by 2 through a low-pass filter (SG1 §3, SG2 app. B). The kernel is applied as
    correlation, up-sampling ones as true convolution: how the official weights are stored.

    Shape: (N, I, H, W) -> (N, O, H·up/down, W·up/down).
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int,
        *,
        scalings: Scalings,
        bias: bool = True,
        activation: str = "linear",
        up: int = 1,
        down: int = 1,
        taps: tuple[float, ...] = (1, 3, 3, 1),
        gain: float = 1.0,
        clamp: float | None = None,
    ):
        super().__init__()
        std, self.weight_gain = scalings.weight(in_channels * kernel**2)
        self.activation, self.gain = activation, scalings.gain(activation) * gain
        self.clamp = None if clamp is None else clamp * gain
        self.up, self.down, self.padding = up, down, kernel // 2
        self.filter_gain = scalings.upsample_gain if up > 1 else 1.0
        self.register_buffer("filter", setup_filter(taps, separable=True), persistent=False)
        self.weight = nn.Parameter(laid_out(torch.randn(out_channels, in_channels, kernel, kernel) * std, up))
        self.bias = nn.Parameter(torch.zeros(out_channels)) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        weight, gain = self.weight, self.filter_gain
        if self.up == self.down == 1 or x.dtype == torch.float16:
            weight = weight * self.weight_gain
        else:
            # One number among the filter's, in place of a pass over the kernel. In float16 the gradient of
            # the kernel would leave the range.
            gain = gain * self.weight_gain
        x = conv2d_resample(
            x,
            weight.to(x.dtype),
            self.filter,
            self.up,
            self.down,
            self.padding,
            flip_weight=self.up == 1,
            gain=gain,
        )
        return bias_act(x, self.bias, self.activation, gain=self.gain, clamp=self.clamp, inplace=True)


def modulate(
    x: Tensor,
    weight: Tensor,
    styles: Tensor,
    up: int = 1,
    down: int = 1,
    padding: int = 0,
    filter: Tensor | None = None,
    demodulate: bool = True,
    flip_weight: bool = True,
    gain: float = 1.0,
) -> tuple[Tensor, Tensor | None]:
    """Modulated convolution but for its last factor: the convolved (N, O, H', W') and, demodulated, (N, O).

    The style scales the input channels and the demodulation the output channels, so both can act on the
    activations around one convolution that all samples share: w''*x = d · (w * (s·x)), equation 3 of SG2
    §2.2 with d = 1/√(Σ (w·s)² + 1e-8). The caller merges d with what follows.
    """
    if demodulate and x.dtype == torch.float16:
        # Demodulation cancels any factor on weights or styles, so take the one that keeps float16 in range.
        weight = once(_normalised, weight)
        styles = styles / styles.abs().amax(dim=1, keepdim=True)
    scale = None
    if demodulate:
        scale = torch.rsqrt(styles.square() @ once(_power, weight) + 1e-8)
    if len(x) == 1 and 4 * weight.numel() < x.numel():  # a single sample: the kernel, if that is less work
        weight = weight * styles[0, :, None, None]
    else:
        x = x * styles.to(x.dtype)[:, :, None, None]
    weight = once(Tensor.to, weight, x.dtype)
    x = conv2d_resample(x, weight, filter, up, down, padding, flip_weight=flip_weight, gain=gain)
    return x, scale


def _normalised(weight: Tensor) -> Tensor:
    """With the largest entry of each (I, k, k) kernel 1/√(I·k²)."""
    return weight / (weight.abs().amax(dim=(1, 2, 3), keepdim=True) * weight[0].numel() ** 0.5)


def _power(weight: Tensor) -> Tensor:
    """Σ weight² over a kernel's pixels, (I, O), summed in the order of memory: 30 times as fast."""
    if weight.stride(0) < weight.stride(1):
        return weight.transpose(0, 1).square().sum(dim=(2, 3))
    return weight.square().sum(dim=(2, 3)).t()


def modulated_conv2d(
    x: Tensor,
    weight: Tensor,
    styles: Tensor,
    noise: Tensor | None = None,
    up: int = 1,
    down: int = 1,
    padding: int = 0,
    filter: Tensor | None = None,
    demodulate: bool = True,
    flip_weight: bool = True,
) -> Tensor:
    """Convolution whose kernel each sample scales by its style, and normalises (SG2 §2.2, equations 1 and 3).

    w' = w · s over the input channels; w'' = w' / √(Σ_{in,k} w'² + 1e-8) if `demodulate`.

    Args:
        x: (N, I, H, W).
        weight: (O, I, k, k), used as it is.
        styles: (N, I).
        noise: (H', W') or (N, 1, H', W'), added to the result.
        up: Up-sampling factor, zeros inserted before the convolution.
        down: Down-sampling factor.
        padding: On every side, in pixels of the up-sampled image.
        filter: Low-pass filter for up- and down-sampling.
        demodulate: Normalise the kernels.
        flip_weight: True is correlation (torch's convention), False is true convolution.

    Returns:
        (N, O, H', W').
    """
    x, scale = modulate(x, weight, styles, up, down, padding, filter, demodulate, flip_weight)
    return bias_act(x, scale=scale, noise=noise, inplace=True)


class SynthesisLayer(nn.Module):
    """Style-modulated 3×3 convolution, noise, bias, leaky ReLU (SG2 figure 2d).

    s = A(w); y = gain · lrelu(modconv(x, W, s) + strength · noise + b). Demodulation makes the scale of W
    irrelevant; without it W carries c = 1/√(9·in).

    Shape: x (N, I, H, W), w (N, w_dim) -> (N, O, H·up, W·up).
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        w_dim: int,
        resolution: int,
        *,
        scalings: Scalings,
        up: int = 1,
        taps: tuple[float, ...] = (1, 3, 3, 1),
        gain: float = 1.0,
        clamp: float | None = None,
    ):
        super().__init__()
        std, runtime = scalings.weight(in_channels * 9)
        self.demodulate = scalings.demodulate
        self.style_gain = 1.0 if self.demodulate else runtime
        self.gain = scalings.gain("lrelu") * gain
        self.clamp = None if clamp is None else clamp * gain
        self.up, self.filter_gain, self.resolution = up, scalings.upsample_gain, resolution
        self.register_buffer("filter", setup_filter(taps, separable=True), persistent=False)
        self.affine = EqualizedLinear(
            w_dim, in_channels, scalings=scalings, bias_init=scalings.style_bias_init
        )
        self.weight = nn.Parameter(laid_out(torch.randn(out_channels, in_channels, 3, 3) * std, up))
        self.bias = nn.Parameter(torch.zeros(out_channels))
        self.has_noise = scalings.noise
        if self.has_noise:
            self.register_buffer("noise_const", torch.randn(resolution, resolution))
            self.noise_strength = nn.Parameter(torch.zeros([]))

    def forward(self, x: Tensor, w: Tensor, noise: Noise = "random") -> Tensor:
        styles = self.affine(w) * self.style_gain
        pixels = None
        if self.has_noise and noise != "none":
            n, r = len(x), self.resolution
            pixels = self.noise_const if noise == "const" else w.new_empty(n, 1, r, r).normal_()
            pixels = pixels * self.noise_strength
        x, scale = modulate(
            x,
            self.weight,
            styles,
            up=self.up,
            padding=1,
            filter=self.filter,
            demodulate=self.demodulate,
            flip_weight=self.up == 1,
            gain=self.filter_gain,
        )
        return bias_act(
            x, self.bias, "lrelu", gain=self.gain, clamp=self.clamp, scale=scale, noise=pixels, inplace=True
        )


class ToRGBLayer(nn.Module):
    """Style-modulated 1×1 convolution to image channels, without demodulation or activation (SG2 figure 2).

    s = A(w) · c, c = 1/√in; y = modconv(x, W, s) + b.

    Shape: x (N, I, H, W), w (N, w_dim) -> (N, img_channels, H, W).
    """

    def __init__(
        self,
        in_channels: int,
        img_channels: int,
        w_dim: int,
        *,
        scalings: Scalings,
        clamp: float | None = None,
    ):
        super().__init__()
        std, self.style_gain = scalings.weight(in_channels)
        self.clamp = clamp
        self.affine = EqualizedLinear(
            w_dim, in_channels, scalings=scalings, bias_init=scalings.style_bias_init
        )
        self.weight = nn.Parameter(torch.randn(img_channels, in_channels, 1, 1) * std)
        self.bias = nn.Parameter(torch.zeros(img_channels))

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        styles = self.affine(w) * self.style_gain
        x, _ = modulate(x, self.weight, styles, demodulate=False)
        return bias_act(x, self.bias, clamp=self.clamp, inplace=True)


def minibatch_stddev(x: Tensor, group: int | None = 4, channels: int = 1) -> Tensor:
    """Append the standard deviation over groups of samples as constant channels (PGGAN §3).

    The group of a sample n is n, n + N/G, n + 2N/G, … Within it: biased standard deviation √(var + 1e-8) of
    every feature, averaged over pixels and over the `channels`-th part of the features each.

    Args:
        x: (N, C, H, W).
        group: Size G of a group, at most N. None: the whole batch.
        channels: How many channels to append; divides C.

    Returns:
        (N, C + channels, H, W).

    Raises:
        ValueError: N is no multiple of the group, or C none of `channels`.
    """
    n, c, h, w = x.shape
    g = n if group is None else min(group, n)
    if n % g or c % channels:
        raise ValueError(
            f"minibatch stddev splits {n} samples into groups of {g} and {c} features into {channels} parts: "
            "both must divide evenly. Choose a batch that is a multiple of minibatch_group"
        )
    y = x.reshape(g, n // g, channels, c // channels, h, w)
    y = (y - y.mean(dim=0)).square().mean(dim=0)
    y = (y + 1e-8).sqrt().mean(dim=(2, 3, 4))
    y = y.repeat(g, 1)[:, :, None, None].expand(n, channels, h, w)
    return torch.cat([x, y], dim=1)
