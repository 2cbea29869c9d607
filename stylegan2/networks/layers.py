"""The layers of StyleGAN2: equalized linear and convolution, and modulated convolution.

Each docstring begins with the layer's equation. Weights have the layout and the names of the official state
dictionaries. A `gain` given to a forward pass also multiplies the layer's `clamp`, as in the official code.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stylegan2.ops import bias_act, conv2d_resample, outside_autocast, replaceable, setup_filter

from .initialization import draw
from .minibatch import minibatch_stddev as minibatch_stddev
from .normalization.base import Convolution
from .normalized import NormalizedLayer, Plan
from .scalings import Scalings

Noise = Literal["random", "const", "none"]


@replaceable
def equalized(weight: Tensor, gain: float) -> Tensor:
    """Scale a weight for equalized learning rate: the stored w ~ N(0, 1) is used as ŵ = c·w (PGGAN §4.1)."""
    return weight * gain


@replaceable
def choose_memory_order(network: nn.Module) -> None:
    """Leave the memory order of a network's weights as it is. `kernels` replaces this by a faster order."""


class EqualizedLinear(nn.Module):
    """Linear layer with equalized learning rate: y = gain · act((λ·c·W) x + λ·b), c = 1/√in.

    Weights start as N(0, 1/λ²) and are scaled in every forward pass, so Adam changes all layers at the same
    relative speed (PGGAN §4.1). λ = `lr_multiplier` scales this speed (SG1 app. C).

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


class EqualizedConv2d(NormalizedLayer):
    """Convolution with equalized learning rate: y = gain · act((c·W) * x + b), c = 1/√(in·k²) (PGGAN §4.1).

    `up` and `down` resample with a low-pass filter (SG1 §3, SG2 app. B). The kernel is applied as
    correlation, or as true convolution when up-sampling, because the official weights are stored so.

    Shape: (N, I, H, W), condition (N, num_conditions) or None -> (N, O, H·up/down, W·up/down).
    """

    filter: Tensor

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
        normalization: str | Plan = "none",
        num_conditions: int = 0,
    ):
        super().__init__()
        plan = Plan.of(normalization)
        std, self.weight_gain = scalings.weight(in_channels * kernel**2)
        self.activation, self.activation_gain, self.clamp = activation, scalings.gain(activation), clamp
        self.up, self.down, self.padding = up, down, kernel // 2
        self.filter_gain = scalings.upsample_gain if up > 1 else 1.0
        self.register_buffer("filter", setup_filter(taps, separable=True), persistent=False)
        self.weight = nn.Parameter(torch.empty(out_channels, in_channels, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(out_channels)) if bias else None
        draw(self, partial(self.add_normalizations, plan, num_conditions), weight=std)

    def forward(self, x: Tensor, gain: float = 1.0, condition: Tensor | None = None) -> Tensor:
        """Apply the layer to x (N, I, H, W). `gain` multiplies the result. Some normalizations read the condition."""
        source = Convolution(x, self.filter, self.up, self.down, self.filter_gain)
        x = conv2d_resample(
            x,
            self.kernel(equalized).to(x.dtype),
            self.filter,
            self.up,
            self.down,
            self.padding,
            flip_weight=self.up == 1,
            gain=self.filter_gain,
        )
        x = self.normalized(x, source, condition)
        clamp = None if self.clamp is None else self.clamp * gain
        return bias_act(x, self.bias, self.activation, gain=self.activation_gain * gain, clamp=clamp)


@outside_autocast
def demodulation_coefficients(weight: Tensor, styles: Tensor) -> Tensor:
    """Compute the factors that scale each sample's modulated kernels to Euclidean length 1.

        d_no = 1 / √(Σ_ik (s_ni · w_oik)² + ε),  ε = 1e-8          (SG2 §2.2, equation 3)

    It modulates no kernel, because Σ_ik (s_i · w_ik)² = Σ_i s_i² · Σ_k w_ik².

    Shape: weight (O, I, k, k), styles (N, I) -> (N, O).
    """
    power = weight.square().sum(dim=(2, 3))
    return torch.rsqrt(styles.square() @ power.t() + 1e-8)


@replaceable
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
    """Convolve with kernels that are scaled by each sample's styles, then add noise and bias, and activate.

        w'_oik = s_i · w_oik                                        (SG2 §2.2, equation 1)
        w''_oik = w'_oik / √(Σ_ik w'_oik² + ε) = d_o · w'_oik         (equation 3, if `demodulate`)

    Styles scale input channels, and demodulation scales output channels. So both can be applied to the
    features before and after one convolution that all samples share: w'' * x = d · (w * (s · x)).

    Args:
        x: Features (N, I, H, W).
        weight: Kernels w (O, I, k, k), already scaled.
        styles: Styles s (N, I). None modulates no kernel, so it demodulates none either.
        bias: (O,). None adds no bias.
        noise: (H', W') or (N, 1, H', W'). None adds no noise.
        demodulate: Whether to divide each sample's kernels by their Euclidean length.
        up: Up-sampling factor. Zeros are inserted before the convolution.
        down: Down-sampling factor.
        padding: Padding on every side, in pixels of the up-sampled image.
        filter: Low-pass filter for up- and down-sampling.
        flip_weight: True is correlation (torch's convention), False is true convolution.
        filter_gain: Factor on the low-pass filter.
        normalize: Another normalization of the convolved features, which keeps their shape (N, O, H', W').
            None applies no other.
        scale: Factors (N, O) on the normalized features. None: no factors.
        activation: Name of an entry of `stylegan2.ops.activations`.
        gain: Gain after the activation, as in `bias_act`.
        clamp: Bound on the absolute value of the result, as in `bias_act`.

    Returns:
        Features (N, O, H', W') in the type of x.

    Raises:
        ValueError: `bias_act` or `conv2d_resample` refuses an argument.
    """
    if styles is not None:
        x = x * styles.to(x.dtype)[:, :, None, None]
    y = conv2d_resample(
        x, weight.to(x.dtype), filter, up, down, padding, flip_weight=flip_weight, gain=filter_gain
    )
    if demodulate and styles is not None:
        y = y * demodulation_coefficients(weight, styles).to(y.dtype)[:, :, None, None]
    if normalize is not None:
        y = normalize(y)
    if scale is not None:
        y = y * scale.to(y.dtype)[:, :, None, None]
    if noise is not None:
        y = y + noise.to(y.dtype)
    return bias_act(y, bias, activation, gain=gain, clamp=clamp)


class SynthesisLayer(NormalizedLayer):
    """Style-modulated 3×3 convolution, noise, bias, leaky ReLU (SG2 figure 2d).

    s = A(w); y = gain · lrelu(modconv(x, W, s) + strength · noise + b). Demodulation cancels the scale of W.
    With any other normalization, W is scaled by c = 1/√(9·in). If a normalization of features is given, the styles
    scale what it normalized, instead of the input: y = gain · lrelu(s · norm(W * x) + strength · noise + b). A
    conditional one takes a scale and a shift from A.

    Shape: x (N, I, H, W), w (N, w_dim) -> (N, O, H·up, W·up).
    """

    filter: Tensor
    noise_const: Tensor

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        w_dim: int,
        size: int | tuple[int, int],
        *,
        scalings: Scalings,
        activation: str = "lrelu",
        up: int = 1,
        taps: tuple[float, ...] = (1, 3, 3, 1),
        clamp: float | None = None,
        normalization: Plan | None = None,
    ):
        super().__init__()
        plan = normalization or Plan(features=scalings.style_normalization)
        kind = plan.kind
        self.styles_after = plan.styles_after and plan.changes_features
        std, runtime = scalings.weight(in_channels * 9)
        self.weight_gain = 1.0 if kind.demodulates and plan.weights == "none" else runtime
        self.activation, self.activation_gain, self.clamp = activation, scalings.gain(activation), clamp
        self.up, self.size = up, (size, size) if isinstance(size, int) else size
        self.filter_gain = scalings.upsample_gain if up > 1 else 1.0
        self.register_buffer("filter", setup_filter(taps, separable=True), persistent=False)
        scaled = out_channels if self.styles_after else in_channels
        styles = scaled * (2 if kind.conditional else 1)
        self.affine = EqualizedLinear(w_dim, styles, scalings=scalings, bias_init=scalings.style_bias_init)
        self.affine.get_parameter("bias").data[scaled:] = 0  # shifts
        self.weight = nn.Parameter(torch.empty(out_channels, in_channels, 3, 3))
        self.bias = nn.Parameter(torch.zeros(out_channels))
        draw(self, partial(self.add_normalizations, plan), weight=std)
        if kind.starts_unconditional:
            draw(self.affine, weight=0.0)
        self.has_noise = scalings.noise
        if self.has_noise:
            self.register_buffer("noise_const", torch.empty(self.size))
            self.noise_strength = nn.Parameter(torch.zeros([]))
            draw(self, noise_const=1.0)

    def forward(self, x: Tensor, w: Tensor, noise: Noise = "random", gain: float = 1.0) -> Tensor:
        """Apply the layer to x (N, I, H, W) and w (N, w_dim). `gain` multiplies the result."""
        styles = self.affine(w)
        source = Convolution(x, self.filter, self.up, 1, self.filter_gain)
        after: dict[str, Any] = {"styles": styles}
        if self.styles_after:
            after = {"styles": None, "scale": None if self.normalization.conditional else styles}
        return modulated_conv2d(
            x,
            self.kernel(equalized),
            bias=self.bias,
            noise=self.noise(w, noise),
            demodulate=self.normalization.demodulates,
            up=self.up,
            padding=1,
            filter=self.filter,
            flip_weight=self.up == 1,
            filter_gain=self.filter_gain,
            normalize=lambda y: self.normalized(y, source, styles),
            activation=self.activation,
            gain=self.activation_gain * gain,
            clamp=None if self.clamp is None else self.clamp * gain,
            **after,
        )

    def noise(self, w: Tensor, kind: Noise) -> Tensor | None:
        """Return the learned strength times new noise (N, 1, H, W) or the stored noise (H, W), or None."""
        if not self.has_noise or kind == "none":
            return None
        pixels = self.noise_const if kind == "const" else w.new_empty(w.shape[0], 1, *self.size).normal_()
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
