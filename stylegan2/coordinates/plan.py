"""What a coordinate check compares: sizes along an axis, variants, and the exponents that theory predicts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from stylegan2.errors import InputError
from stylegan2.networks.scalings import Scalings
from stylegan2.training.regularizers.path_length import PathLength

Over = Literal["width", "depth", "resolution", "batch", "latent_dim"]


@dataclass(frozen=True, kw_only=True)
class Size:
    """The size of a generator and a discriminator, and of the batch."""

    width: int = 32
    """Feature maps of every block, and the width of w."""
    resolution: int = 16
    batch: int = 4
    latent_dim: int = 32
    """Width of z."""

    @property
    def depth(self) -> int:
        """Number of residual blocks of the discriminator."""
        return self.resolution.bit_length() - 3


@dataclass(frozen=True, kw_only=True)
class Axis:
    """Sizes along which something grows."""

    about: str
    x: tuple[float, ...]
    """The number that grows."""
    sizes: tuple[Size, ...]
    is_power: bool = True
    """True: quantities are expected to be powers of x. False: to be 2 to a multiple of x."""

    @property
    def slope_of(self) -> str:
        return "exponent" if self.is_power else "log₂ per block"


_DEEP = tuple(Size(resolution=2**i, width=16) for i in range(3, 8))

AXES: dict[str, Axis] = {
    "width": Axis(
        about="feature maps, and the width of w",
        x=(32, 48, 80, 128, 192),
        sizes=tuple(Size(width=n, resolution=8) for n in (32, 48, 80, 128, 192)),
    ),
    "depth": Axis(
        about="residual blocks of the discriminator",
        x=tuple(size.depth for size in _DEEP),
        sizes=_DEEP,
        is_power=False,
    ),
    "resolution": Axis(about="pixels", x=tuple(size.resolution**2 for size in _DEEP), sizes=_DEEP),
    "batch": Axis(
        about="images per batch",
        x=(4, 8, 16, 32, 64),
        sizes=tuple(Size(batch=n, resolution=8) for n in (4, 8, 16, 32, 64)),
    ),
    "latent_dim": Axis(
        about="entries of z",
        x=(16, 32, 64, 128, 256),
        sizes=tuple(Size(latent_dim=n, resolution=8) for n in (16, 32, 64, 128, 256)),
    ),
}
"""The axes by the value of --over."""

DEFAULT = "default"
VARIANTS: dict[str, dict[str, Any]] = {
    DEFAULT: {},
    "weight_scaling=none": {"weight_scaling": "none"},
    "weight_scaling=kaiming": {"weight_scaling": "kaiming"},
    "weight_scaling=mup": {"weight_scaling": "mup"},
    "activation_gain=1": {"activation_gain": 1.0},
    "residual_gain=1": {"residual_gain": 1.0},
    "residual_gain=inverse_depth": {"residual_gain": "inverse_depth"},
    "residual_gain=fixup": {"residual_gain": "fixup"},
    "residual_gain=skip_init": {"residual_gain": "skip_init"},
    "residual_balance=0.3": {"residual_balance": 0.3},
    "mapping_lr_multiplier=1": {"mapping_lr_multiplier": 1.0},
    "latent_normalization=l2": {"latent_normalization": "l2"},
    "latent_normalization=none": {"latent_normalization": "none"},
    "style_normalization=none": {"style_normalization": "none"},
    "style_bias_init=0": {"style_bias_init": 0.0},
    "upsample_gain=0.25": {"upsample_gain": 0.25},
    "minibatch_stddev=false": {"minibatch_stddev": False},
    "path_length.normalize_by_image_size=false": {"normalize_by_image_size": False},
    "path_length.normalize_by_image_size=unit_length": {"normalize_by_image_size": "unit_length"},
}
"""The changes of each variant: fields of Scalings, or of the path length."""


NORMALIZATIONS = "normalizations"
"""What `--variants` calls all of them."""


def chosen(names: str, normalizations: Iterable[str] = ()) -> list[str]:
    """The variants that `--variants` names, with the default first.

    Args:
        names: "all" scalings, names of scalings, and names of normalizations or "normalizations" for all of them.
        normalizations: Names of normalizations that can be chosen.

    Raises:
        InputError: A name is not that of a variant.
    """
    others = list(normalizations)
    wanted = list(VARIANTS) if names == "all" else [name.strip() for name in names.split(",")]
    found = [DEFAULT]
    for name in wanted:
        matches = [v for v in VARIANTS if name in (v, v.split("=")[0], v.split("=")[0].split(".")[-1])]
        matches += [other for other in others if name in (other, NORMALIZATIONS)]
        if not matches:
            more = f", {NORMALIZATIONS} or one of them: {', '.join(others)}" if others else ""
            raise InputError(
                f"Expected variants of all or of names such as {', '.join(list(VARIANTS)[1:4])}, found {name!r}. "
                f"Choose from {', '.join(VARIANTS)}{more}."
            )
        found += [match for match in matches if match not in found]
    return found


def settings(variant: str) -> tuple[Scalings, PathLength]:
    """The scalings and the path length regularizer of a variant."""
    changes = dict(VARIANTS[variant])
    normalize = changes.pop("normalize_by_image_size", True)
    return Scalings(**changes), PathLength(normalize_by_image_size=normalize)


STEPS = (1, 2, 4, 8)
"""Optimizer steps after which the change of the activations is measured."""


def change(steps: int) -> str:
    """The name of the change of D's features by so many steps of Adam."""
    return f"D features, change by {steps} step{'s' if steps > 1 else ''}"


def _changes(exponent: float) -> dict[str, float]:
    return dict.fromkeys(map(change, STEPS), exponent)


PREDICTIONS: Mapping[str, Mapping[str, Mapping[str, float]]] = {
    "width": {
        # c = 1/√fan_in keeps sums at unit size. A step of Adam adds lr·sign(g), which is aligned with the input, to
        # every stored weight. The sum over fan_in inputs is lr·fan_in, and c leaves lr·√fan_in.
        DEFAULT: {"D features": 0, "w": 0, "path length": 0} | _changes(0.5),
        # Three layers in sequence, each of which multiplies the signal by √fan_in.
        "weight_scaling=none": {"D features": 1.5},
        "weight_scaling=kaiming": {"D features": 0} | _changes(1.0),
        "weight_scaling=mup": {"D features": 0} | _changes(0.0),
    },
    "resolution": {
        # A logit is a mean over pixels, so each pixel's gradient falls with their number, and the sum of squares too.
        DEFAULT: {"R1": -1},
    },
    "batch": {DEFAULT: {"D features": 0, "image": 0, "path length": 0}},
    "latent_dim": {
        DEFAULT: {"mapping input": 0, "w": 0},
        "latent_normalization=l2": {"mapping input": -0.5, "w": -0.5},
        "latent_normalization=none": {"mapping input": 0, "w": 0},
    },
}
"""Predicted exponents by axis, variant and quantity."""

RATIOS: Mapping[str, Mapping[str, Mapping[str, float]]] = {
    # Zero padding and low-pass filters take from the signal of every block, so only ratios over depth are predicted.
    "depth": {"residual_gain=1": {"D features": 0.5, "D logits": 0.5, "R1": 1}},
    "resolution": {
        "path_length.normalize_by_image_size=false": {"path length": 0.5},
        "path_length.normalize_by_image_size=unit_length": {"path length": 0},
        # √2 per block, and a block for each doubling of the side, which is four times the pixels.
        "residual_gain=1": {"D features": 0.25, "R1": 0.5},
    },
    "latent_dim": {"latent_normalization=l2": {"mapping input": -0.5, "w": -0.5}},
}
"""Predicted exponents of a quantity divided by that of the default."""
