"""Every gain and every choice of normalization in the networks, each with its formula and source.

A gain is a number. An ablation changes the number, so no forward pass needs an `if` for it. A normalization
is a name, which is looked up once, when a layer is built.

The papers are PGGAN (arXiv 1710.10196), SG1 (StyleGAN, 1812.04948), SG2 (StyleGAN2, 1912.04958), ADA
(2006.06676), He (1502.01852) and EDM2 (2312.02696). Those of residual sums are in residual.py.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from stylegan2.errors import InputError
from stylegan2.ops import activations
from stylegan2.registry import check_choices

from .normalization.base import normalizations
from .residual import RESIDUAL_SUMS, Residual, magnitude_preserving

MUP_FAN_IN = 64
"""The number of inputs up to which weight_scaling "mup" equals "equalized"."""

AUTO_CLAMP = 256.0
"""The clamp of low-precision blocks (ADA app. D and its code)."""


class Lazy(NamedTuple):
    """The correction for lazy regularization at every k-th iteration (SG2 app. B)."""

    weight: float
    """Factor on the penalty."""

    exponent: float
    """The exponent c in Adam's lr·c, β₁^c and β₂^c."""


@dataclass(frozen=True, kw_only=True)
class Scalings:
    """The constants that keep signal, gradient and step size at unit scale. The defaults are StyleGAN2's."""

    weight_scaling: Literal["equalized", "kaiming", "none", "mup"] = "equalized"
    """How weights get the factor c = 1/√fan_in. "equalized" stores weights from N(0, 1) and multiplies them
    by c in every forward pass (PGGAN §4.1). "kaiming" multiplies the initial weights by c, so Adam's relative
    step differs between layers. "none" leaves c out, so every layer multiplies the signal by √fan_in. "mup" is
    "equalized" with the steps of layers of more than 64 inputs divided by √(fan_in/64). A step of Adam then changes
    their outputs equally at every width (maximal update parametrization, arXiv 2203.03466)."""

    activation_gain: Literal["magnitude_preserving"] | float = math.sqrt(2)
    """Gain after every leaky ReLU, which about halves the power of its input (He; SG2's code). 1 switches it off.
    "magnitude_preserving" is 1/√E[act(z)²] with z ~ N(0, 1), after every activation (EDM2 §2.4). It is 1.387 for a
    leaky ReLU, which then keeps the rms of a normal input exactly."""

    residual_gain: Literal["inverse_depth", "fixup", "skip_init"] | float = math.sqrt(0.5)
    """Gain of both branches of a residual block. √½ keeps the variance of their sum (SG2 §4.1). 1 switches it off.
    The names are alternatives that leave the skip branch as it is. "inverse_depth" multiplies the other branch by
    1/√L in a network of L residual blocks. "fixup" starts its last weights at 0 and multiplies the features before
    them by L^(-1/2) (Fixup; it is L^(-1/4) in branches of three layers, as R3GAN has). "skip_init" multiplies it by a
    learned number that starts at 0 (SkipInit)."""

    residual_balance: float = 0.5
    """Share t of the branch in the magnitude-preserving sum ((1-t)·skip + t·branch) / √((1-t)² + t²) (EDM2 eq. 88),
    which is the residual sum of gain √½. With t = ½ it is 1/√2 for both. The named gains do not use it."""

    mapping_lr_multiplier: float = 0.01
    """Learning rate of the mapping network relative to the other layers, applied as a factor on its weights
    (SG1 app. C). 1 switches it off."""

    latent_normalization: Literal["second_moment", "l2", "none"] = "second_moment"
    """Normalization of latents and embedded labels. "second_moment" divides them by their root mean square
    (PGGAN, SG1). "l2" divides them by their Euclidean length, which makes them smaller by √dim. "none" leaves
    them as they are."""

    style_normalization: str = "demodulation"
    """Normalization of the generator's modulated layers. "demodulation" divides each modulated kernel by its
    Euclidean length (SG2 §2.2). With any other choice, the kernel is scaled by 1/√fan_in. With "none", the
    scale of the features then follows that of the styles."""

    style_bias_init: float = 1.0
    """Initial bias of the affine layers that compute styles from w. With 1, styles start around 1 (SG2). 0
    switches it off."""

    upsample_gain: float = 1.0
    """Factor on the low-pass filter of every up-sampling, in addition to the up² that compensates for the
    inserted zeros. 0.25 switches that compensation off, so every up-sampling divides the mean by 4."""

    minibatch_stddev: bool = True
    """Whether the discriminator's last block appends the standard deviation over a group of samples as a
    channel (PGGAN §3)."""

    noise: bool = True
    """Whether every synthesis layer adds per-pixel noise, times a learned strength that starts at 0 (SG1)."""

    lazy_regularization_correction: bool = True
    """Whether penalties that are evaluated every k iterations are multiplied by k, and Adam uses lr·c, β₁^c
    and β₂^c with c = k/(k+1) (SG2 app. B)."""

    clamp: Literal["auto"] | float | None = "auto"
    """Bound on the absolute values of activations, before the residual gain (ADA). "auto" is 256 in
    low-precision blocks and no bound in others. A number applies to all blocks. null switches it off."""

    def __post_init__(self) -> None:
        check_choices(self)
        kind = normalizations[self.style_normalization]  # raises for an unknown name
        if kind.conditional or kind.reads_input:
            raise InputError(
                f"Expected a normalization of layers with modulated input as scalings.style_normalization, found "
                f"{self.style_normalization}. Set model.generator.normalization instead."
            )
        if not 0 <= self.residual_balance <= 1:
            raise InputError(
                f"Expected scalings.residual_balance from 0 to 1, found {self.residual_balance}."
            )
        if isinstance(self.residual_gain, str) and self.residual_balance != 0.5:
            raise InputError(
                f"Expected a number as scalings.residual_gain beside residual_balance {self.residual_balance}, found "
                f"{self.residual_gain}. Leave one of them out."
            )
        if isinstance(self.clamp, (int, float)) and self.clamp <= 0:
            raise InputError(f"Expected scalings.clamp above 0, auto or null, found {self.clamp}.")

    def weight(self, fan_in: int) -> tuple[float, float]:
        """Return (standard deviation of the stored weights, factor on them in a forward pass)."""
        return _WEIGHT_SCALINGS[self.weight_scaling](1 / math.sqrt(fan_in))

    def gain(self, activation: str) -> float:
        """Return the gain after an activation: `activation_gain` for lrelu, the default gain for others."""
        if isinstance(self.activation_gain, str):
            return magnitude_preserving_gain(activation)
        return self.activation_gain if activation == "lrelu" else activations[activation].gain

    def residual(self, blocks: int) -> Residual:
        """Return the factors of each residual block of a network that has so many of them."""
        if isinstance(self.residual_gain, str):
            return RESIDUAL_SUMS[self.residual_gain](blocks)
        # With a gain of √½ the squares of the two factors sum to 1.
        factors = magnitude_preserving(self.residual_balance)
        skip, branch = (self.residual_gain * (factor / math.sqrt(0.5)) for factor in factors)
        return Residual(skip, branch)

    @property
    def normalize_latent(self) -> Callable[[Tensor], Tensor]:
        """The function (N, dim) -> (N, dim) that normalizes latents and embedded labels."""
        return _LATENT_NORMALIZATIONS[self.latent_normalization]

    def clamp_at(self, is_low_precision: bool) -> float | None:
        """Return the bound on a block's activations, or None for no bound."""
        if self.clamp == "auto":
            return AUTO_CLAMP if is_low_precision else None
        return self.clamp

    def lazy(self, every: int) -> Lazy:
        """Return the correction for a penalty that is evaluated at every `every`-th iteration."""
        return Lazy(every, every / (every + 1)) if self.lazy_regularization_correction else Lazy(1.0, 1.0)


def magnitude_preserving_gain(activation: str) -> float:
    """Return 1/√E[act(z)²] with z ~ N(0, 1), by numerical integration over |z| ≤ 10 (EDM2 eq. 81)."""
    z = torch.linspace(-10, 10, 20001, dtype=torch.float64, device="cpu")
    y = activations[activation].function(z, activations[activation].alpha)
    density = torch.exp(-z.square() / 2) / math.sqrt(2 * math.pi)
    return 1 / math.sqrt(torch.trapezoid(y.square() * density, z).item())


_WEIGHT_SCALINGS: dict[str, Callable[[float], tuple[float, float]]] = {
    "equalized": lambda c: (1.0, c),
    "kaiming": lambda c: (c, 1.0),
    "none": lambda c: (1.0, 1.0),
    "mup": lambda c: (max(1.0, 1 / (c * math.sqrt(MUP_FAN_IN))), c * min(1.0, c * math.sqrt(MUP_FAN_IN))),
}


def _second_moment(z: Tensor) -> Tensor:
    return z * torch.rsqrt(z.square().mean(dim=1, keepdim=True) + 1e-8)


def _l2(z: Tensor) -> Tensor:
    return z * torch.rsqrt(z.square().sum(dim=1, keepdim=True) + 1e-8)


def _unchanged(z: Tensor) -> Tensor:
    return z


_LATENT_NORMALIZATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "second_moment": _second_moment,
    "l2": _l2,
    "none": _unchanged,
}
