"""The layers of StyleGAN2: equalized linear and convolution, modulated convolution, minibatch stddev.

Each heads with its equation. Weights are stored as the official state dictionaries store them, under the same
names. Factors that a layer takes at a call (`gain`) also move its `clamp`, as in the official code.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stylegan2.ops import bias_act, conv2d_resample, outside_autocast, replaceable, setup_filter

from .initialization import draw
from .normalization import Normalization, normalizations
from .scalings import Scalings

Noise = Literal["random", "const", "none"]


@replaceable
def equalized(weight: Tensor, gain: float) -> Tensor:
    """Equalized learning rate: the stored weight w ~ N(0, 1) is used as ŵ = c·w (PGGAN §4.1)."""
    return weight * gain


@replaceable
def choose_memory_order(network: nn.Module) -> None:
    """Leave a network's weights as they lie in memory; a faster order takes the place of this."""


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
        self.activation, self.activation_gain = activation, scalings.gain(activation)
        self.weight_gain, self.bias_gain = runtime * lr_multiplier, lr_multiplier
        self.weight = nn.Parameter(torch.empty(out_features, in_features))
        self.bias = nn.Parameter(torch.full((out_features,), bias_init / lr_multiplier)) if bias else None
        draw(self, weight=std / lr_multiplier)

    @outside_autocast
    def forward(self, x: Tensor) -> Tensor:
        weight = equalized(self.weight, self.weight_gain)
        bias = None if self.bias is None else equalized(self.bias, self.bias_gain)
        return bias_act(F.linear(x, weight.to(x.dtype)), bias, self.activation, gain=self.activation_gain)


class EqualizedConv2d(nn.Module):
    """Convolution with equalized learning rate: y = gain · act((c·W) * x + b), c = 1/√(in·k²) (PGGAN §4.1).

    With up- or down-sampling by 2 through a low-pass filter (SG1 §3, SG2 app. B). The kernel is applied as
    correlation, up-sampling ones as true convolution: how the official weights are stored.

    Shape: (N, I, H, W) -> (N, O, H·up/down, W·up/down).
    """

    filter: Tensor
    normalization: Normalization

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
        clamp: float | None = None,
        normalization: str = "none",
    ):
        super().__init__()
        std, self.weight_gain = scalings.weight(in_channels * kernel**2)
        self.activation, self.activation_gain, self.clamp = activation, scalings.gain(activation), clamp
        self.up, self.down, self.padding = up, down, kernel // 2
        self.filter_gain = scalings.upsample_gain if up > 1 else 1.0
        self.register_buffer("filter", setup_filter(taps, separable=True), persistent=False)
        self.weight = nn.Parameter(torch.empty(out_channels, in_channels, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(out_channels)) if bias else None
        draw(self, partial(_add_normalization, self, normalizations[normalization]), weight=std)

    def forward(self, x: Tensor, gain: float = 1.0) -> Tensor:
        """`gain` multiplies the result: that of a residual branch."""
        weight = self.normalization.weight(equalized(self.weight, self.weight_gain))
        x = conv2d_resample(
            x,
            weight.to(x.dtype),
            self.filter,
            self.up,
            self.down,
            self.padding,
            flip_weight=self.up == 1,
            gain=self.filter_gain,
        )
        x = self.normalization.features(x)
        clamp = None if self.clamp is None else self.clamp * gain
        return bias_act(x, self.bias, self.activation, gain=self.activation_gain * gain, clamp=clamp)


def _add_normalization(layer: EqualizedConv2d | SynthesisLayer, kind: type[Normalization]) -> None:
    """Give a layer its normalization, which may depend on the initial weights."""
    layer.normalization = kind(layer.weight.detach() * layer.weight_gain)


@outside_autocast
def demodulation_coefficients(weight: Tensor, styles: Tensor) -> Tensor:
    """The factor that brings each sample's modulated kernel to length 1: weight (O, I, k, k), styles (N, I)
    -> (N, O).

        d_no = 1 / √(Σ_ik (s_ni · w_oik)² + ε),  ε = 1e-8          (SG2 §2.2, equation 3)

    No kernel has to be modulated for it, since Σ_ik (s_i · w_ik)² = Σ_i s_i² · Σ_k w_ik².
    """
    power = weight.square().sum(dim=(2, 3))
    return torch.rsqrt(styles.square() @ power.t() + 1e-8)


@replaceable
def modulated_conv2d(
    x: Tensor,
    weight: Tensor,
    styles: Tensor,
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
    activation: str = "linear",
    gain: float | None = None,
    clamp: float | None = None,
) -> Tensor:
    """Convolution with a kernel that each sample scales by its styles, then noise, bias and activation.

        w'_oik = s_i · w_oik                                        (SG2 §2.2, equation 1)
        w''_oik = w'_oik / √(Σ_ik w'_oik² + ε) = d_o · w'_oik         (equation 3, if `demodulate`)

    The style scales input channels and the demodulation output channels, so both can act on the features
    around one convolution that all samples share: w'' * x = d · (w * (s · x)).

    Args:
        x: (N, I, H, W).
        weight: w, (O, I, k, k), used as it is.
        styles: s, (N, I).
        bias: (O,). None: no bias.
        noise: (H', W') or (N, 1, H', W'). None: no noise.
        demodulate: Divide each sample's kernel by its length.
        up: Up-sampling factor, with zeros inserted before the convolution.
        down: Down-sampling factor.
        padding: On every side, in pixels of the up-sampled image.
        filter: Low-pass filter for up- and down-sampling.
        flip_weight: True is correlation (torch's convention), False is true convolution.
        filter_gain: Factor on the low-pass filter.
        normalize: Normalization of the convolved features, (N, O, H', W') to the same. None: no other.
        activation: A name out of `stylegan2.ops.activations`.
        gain: As `bias_act` takes it.
        clamp: As `bias_act` takes it.

    Returns:
        (N, O, H', W') in the type of x.
    """
    x = x * styles.to(x.dtype)[:, :, None, None]
    y = conv2d_resample(
        x, weight.to(x.dtype), filter, up, down, padding, flip_weight=flip_weight, gain=filter_gain
    )
    if demodulate:
        y = y * demodulation_coefficients(weight, styles).to(y.dtype)[:, :, None, None]
    if normalize is not None:
        y = normalize(y)
    if noise is not None:
        y = y + noise.to(y.dtype)
    return bias_act(y, bias, activation, gain=gain, clamp=clamp)


class SynthesisLayer(nn.Module):
    """Style-modulated 3×3 convolution, noise, bias, leaky ReLU (SG2 figure 2d).

    s = A(w); y = gain · lrelu(modconv(x, W, s) + strength · noise + b). Demodulation makes the scale of W
    irrelevant; with any other normalization W carries c = 1/√(9·in).

    Shape: x (N, I, H, W), w (N, w_dim) -> (N, O, H·up, W·up).
    """

    filter: Tensor
    noise_const: Tensor
    normalization: Normalization

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        w_dim: int,
        resolution: int,
        *,
        scalings: Scalings,
        activation: str = "lrelu",
        up: int = 1,
        taps: tuple[float, ...] = (1, 3, 3, 1),
        clamp: float | None = None,
    ):
        super().__init__()
        std, runtime = scalings.weight(in_channels * 9)
        kind = scalings.style_normalization_kind
        self.weight_gain = 1.0 if kind.demodulates else runtime
        self.activation, self.activation_gain, self.clamp = activation, scalings.gain(activation), clamp
        self.up, self.resolution = up, resolution
        self.filter_gain = scalings.upsample_gain if up > 1 else 1.0
        self.register_buffer("filter", setup_filter(taps, separable=True), persistent=False)
        self.affine = EqualizedLinear(
            w_dim, in_channels, scalings=scalings, bias_init=scalings.style_bias_init
        )
        self.weight = nn.Parameter(torch.empty(out_channels, in_channels, 3, 3))
        self.bias = nn.Parameter(torch.zeros(out_channels))
        draw(self, partial(_add_normalization, self, kind), weight=std)
        self.has_noise = scalings.noise
        if self.has_noise:
            self.register_buffer("noise_const", torch.empty(resolution, resolution))
            self.noise_strength = nn.Parameter(torch.zeros([]))
            draw(self, noise_const=1.0)

    def forward(self, x: Tensor, w: Tensor, noise: Noise = "random", gain: float = 1.0) -> Tensor:
        """`gain` multiplies the result: that of a residual branch."""
        return modulated_conv2d(
            x,
            self.normalization.weight(equalized(self.weight, self.weight_gain)),
            self.affine(w),
            self.bias,
            self.noise(w, noise),
            demodulate=self.normalization.demodulates,
            up=self.up,
            padding=1,
            filter=self.filter,
            flip_weight=self.up == 1,
            filter_gain=self.filter_gain,
            normalize=self.normalization.features,
            activation=self.activation,
            gain=self.activation_gain * gain,
            clamp=None if self.clamp is None else self.clamp * gain,
        )

    def noise(self, w: Tensor, kind: Noise) -> Tensor | None:
        """Strength times pixels: new ones (N, 1, R, R), or the stored ones (R, R)."""
        if not self.has_noise or kind == "none":
            return None
        r = self.resolution
        pixels = self.noise_const if kind == "const" else w.new_empty(w.shape[0], 1, r, r).normal_()
        return pixels * self.noise_strength


class ToRGBLayer(nn.Module):
    """Style-modulated 1×1 convolution to image channels, without demodulation or activation (SG2 figure 2).

    s = A(w); y = modconv(x, c·W, s) + b, c = 1/√in.

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
        std, self.weight_gain = scalings.weight(in_channels)
        self.clamp = clamp
        self.affine = EqualizedLinear(
            w_dim, in_channels, scalings=scalings, bias_init=scalings.style_bias_init
        )
        self.weight = nn.Parameter(torch.empty(img_channels, in_channels, 1, 1))
        self.bias = nn.Parameter(torch.zeros(img_channels))
        draw(self, weight=std)

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        weight = equalized(self.weight, self.weight_gain)
        return modulated_conv2d(x, weight, self.affine(w), self.bias, demodulate=False, clamp=self.clamp)


def minibatch_stddev(x: Tensor, group: int | None = 4, channels: int = 1) -> Tensor:
    """Append the standard deviation over groups of samples as constant channels (PGGAN §3).

    The group of a sample n is n, n + N/G, n + 2N/G, … Within it: biased standard deviation √(var + 1e-8) of
    every feature, averaged over pixels and over the `channels`-th part of the features each.

    Args:
        x: (N, C, H, W).
        group: Size G of a group, at most N. None: the whole batch. A dynamic batch (`torch.export`) must be
            a multiple of it, for example 4 * torch.export.Dim("groups").
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
            "both must divide evenly. Choose a batch that is a multiple of minibatch_group, or minibatch_group "
            "null for any batch"
        )
    y = x.reshape(g, n // g, channels, c // channels, h, w)
    y = (y - y.mean(dim=0)).square().mean(dim=0)
    y = (y + 1e-8).sqrt().mean(dim=(2, 3, 4))
    y = y.repeat(g, 1)[:, :, None, None].expand(n, channels, h, w)
    return torch.cat([x, y], dim=1)
