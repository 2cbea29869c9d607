"""Every gain and every choice of normalization in the networks, each with its formula and source.

A gain is a number, so an ablation sets it to 1 and no `if` enters a forward pass. A kind is a name, looked up
once, when a layer is built. PGGAN = arXiv 1710.10196, SG1 = 1812.04948, SG2 = 1912.04958, ADA = 2006.06676,
He = 1502.01852.
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

from .normalization import Normalization, normalizations

AUTO_CLAMP = 256.0
"""The clamp of low-precision blocks (ADA app. D and its code)."""


class Lazy(NamedTuple):
    """What regularizing every k-th iteration changes: the penalty's weight and Adam's exponent c."""

    weight: float
    exponent: float


@dataclass(frozen=True, kw_only=True)
class Scalings:
    """The constants that keep signal, gradient and step size at unit scale; the defaults are StyleGAN2's."""

    weight_scaling: Literal["equalized", "kaiming", "none"] = "equalized"
    """How weights get the factor c = 1/√fan_in: "equalized" stores N(0, 1) and multiplies by c at run time
    (PGGAN §4.1); "kaiming" bakes c into the initial weights, so Adam's relative step differs per layer;
    "none" leaves c out, and the signal grows by √fan_in with every layer."""

    activation_gain: float = math.sqrt(2)
    """Gain after every leaky ReLU, which halves the power of its input (He; SG2's code). Off: 1."""

    residual_gain: float = math.sqrt(0.5)
    """Gain of both branches of a residual block, so that their sum keeps its variance (SG2 §4.1). Off: 1."""

    mapping_lr_multiplier: float = 0.01
    """Learning rate of the mapping network relative to the rest, as a factor on its weights (SG1 app. C).
    Off: 1."""

    latent_normalization: Literal["second_moment", "l2", "none"] = "second_moment"
    """Latents (and embedded labels) are divided by their rms ("second_moment", PGGAN and SG1), by their
    Euclidean length ("l2", √dim smaller), or left alone."""

    style_normalization: str = "demodulation"
    """The normalization of the generator's modulated layers. "demodulation" divides each modulated kernel by
    its Euclidean length (SG2 §2.2). Without it the kernel carries 1/√fan_in; with "none" the features' scale
    follows the styles'."""

    style_bias_init: float = 1.0
    """Initial bias of the affine layers that make styles from w: styles start around 1 (SG2). Off: 0."""

    upsample_gain: float = 1.0
    """Factor on the low-pass filter of every up-sampling, on top of the up² that makes up for the inserted
    zeros. Off: 0.25, the mean falls to a quarter each time."""

    minibatch_stddev: bool = True
    """One more channel near the discriminator's end: the standard deviation over a group of samples
    (PGGAN §3)."""

    noise: bool = True
    """Per-pixel noise in every synthesis layer, times a learned strength that starts at 0 (SG1)."""

    lazy_regularization_correction: bool = True
    """Penalties evaluated every k iterations weigh k times as much, and Adam runs with lr·c, β₁^c, β₂^c,
    c = k/(k+1) (SG2 app. B)."""

    clamp: Literal["auto"] | float | None = "auto"
    """Bound on activations, before the residual gain (ADA). "auto": 256 in low-precision blocks; a number: in
    all blocks. Off: null."""

    def __post_init__(self) -> None:
        check_choices(self)
        normalizations[self.style_normalization]  # raises for an unknown name
        if isinstance(self.clamp, (int, float)) and self.clamp <= 0:
            raise InputError(f"Expected scalings.clamp above 0, auto or null, found {self.clamp}.")

    def weight(self, fan_in: int) -> tuple[float, float]:
        """(standard deviation of the stored weights, factor on them at run time)."""
        return _WEIGHT_SCALINGS[self.weight_scaling](1 / math.sqrt(fan_in))

    def gain(self, activation: str) -> float:
        """Gain after an activation; those other than the network's leaky ReLU keep their own."""
        return self.activation_gain if activation == "lrelu" else activations[activation].gain

    @property
    def normalize_latent(self) -> Callable[[Tensor], Tensor]:
        """(N, dim) -> (N, dim)."""
        return _LATENT_NORMALIZATIONS[self.latent_normalization]

    @property
    def style_normalization_kind(self) -> type[Normalization]:
        """The normalization of the generator's modulated layers."""
        return normalizations[self.style_normalization]

    def clamp_at(self, is_low_precision: bool) -> float | None:
        """The bound on a block's activations; None for none."""
        if self.clamp == "auto":
            return AUTO_CLAMP if is_low_precision else None
        return self.clamp

    def lazy(self, every: int) -> Lazy:
        """The correction for a penalty evaluated at every `every`-th iteration."""
        return Lazy(every, every / (every + 1)) if self.lazy_regularization_correction else Lazy(1.0, 1.0)


_WEIGHT_SCALINGS: dict[str, Callable[[float], tuple[float, float]]] = {
    "equalized": lambda c: (1.0, c),
    "kaiming": lambda c: (c, 1.0),
    "none": lambda c: (1.0, 1.0),
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
