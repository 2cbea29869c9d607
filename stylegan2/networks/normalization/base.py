"""The place of a normalization in a layer of the networks, and the registry of all normalizations."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, NamedTuple, TypeVar

import torch
from torch import Tensor, nn

from stylegan2.errors import InputError
from stylegan2.ops import outside_autocast
from stylegan2.registry import Registry


class Convolution(NamedTuple):
    """The input of a layer's convolution, for a normalization that needs it too."""

    x: Tensor
    """(N, I, H, W)."""

    filter: Tensor
    """Low-pass filter of the resampling."""

    up: int
    down: int
    gain: float
    """Factor on the low-pass filter."""


class Normalization(nn.Module):
    """One way to keep the scale of a layer's weights or features. A subclass overrides what it changes.

    Args:
        weight: The layer's kernels (O, I, k, k) at initialization, scaled as the method `weight` gets them.
        num_conditions: Width of the label that a conditional normalization reads. 0 if the condition is the scale
            and the shift themselves, (N, 2·O), which the generator computes from w.
    """

    demodulates: ClassVar[bool] = False
    """Whether `layers.modulated_conv2d` divides each sample's kernels by their Euclidean length."""

    needs_styles: ClassVar[bool] = False
    """Whether the normalization works only in layers with styles, which the discriminator does not have."""

    conditional: ClassVar[bool] = False
    """Whether `features` also takes a condition: the label in D, and scale and shift from w in G."""

    starts_unconditional: ClassVar[bool] = False
    """Whether the condition has no effect at initialization."""

    reads_input: ClassVar[bool] = False
    """Whether `features` also takes the input of the convolution, a `Convolution`."""

    activates: ClassVar[bool] = False
    """Whether `features` is also the layer's activation."""

    couples_samples: ClassVar[bool] = False
    """Whether a sample's output depends on the other samples of the batch in training mode."""

    refuses: ClassVar[Mapping[str, str]] = {}
    """Names of the penalties that cannot be computed through it, each with the reason."""

    notes: ClassVar[Mapping[str, str]] = {}
    """Names of the penalties whose meaning it changes, each with the change."""

    def __init__(self, weight: Tensor):
        super().__init__()

    def weight(self, weight: Tensor) -> Tensor:
        """Map the kernels (O, I, k, k), scaled for equalized learning rate, to those that the layer uses."""
        return weight

    def features(self, x: Tensor) -> Tensor:
        """Map the convolved features (N, O, H, W) to those that noise and bias are added to."""
        return x

    def prepare(self, parameter: nn.Parameter) -> None:
        """Change the stored kernels before a forward pass in training mode. Most normalizations do nothing here."""

    def advance(self, images: int) -> None:
        """Take note of the number of images that training has seen. A schedule follows it."""


normalizations: Registry[type[Normalization]] = Registry("normalization", __package__)


def changes_features(kind: type[Normalization]) -> bool:
    """Whether a normalization acts on features, rather than on weights alone."""
    return kind.features is not Normalization.features


def changes_weights(kind: type[Normalization]) -> bool:
    """Whether a normalization acts on the kernels before the convolution."""
    return kind.weight is not Normalization.weight or kind.demodulates


class FeatureNormalization(Normalization):
    """Puts a module for features (N, C, H, W) into a layer. The module computes in float32 or float64."""

    module: ClassVar[Callable[..., nn.Module]]
    """Makes the module from the number of channels and options."""

    def __init__(self, weight: Tensor, num_conditions: int = 0, **options: Any):
        super().__init__(weight)
        if self.conditional:
            options["num_conditions"] = num_conditions
        self.norm = type(self).module(len(weight), **options)

    @outside_autocast
    def features(self, x: Tensor, *others: Any) -> Tensor:
        y: Tensor = self.norm(x.to(self._dtype(x)), *(other.to(self._dtype(x)) for other in others))
        return y.to(x.dtype)

    def advance(self, images: int) -> None:
        advance = getattr(self.norm, "advance", None)
        if callable(advance):
            advance(images)

    def _dtype(self, x: Tensor) -> torch.dtype:
        for state in (*self.norm.parameters(), *self.norm.buffers()):
            if state.is_floating_point():
                return state.dtype
        return torch.promote_types(x.dtype, torch.float32)


class WeightNormalization(Normalization):
    """Puts a parametrization of kernels (O, I, k, k) into a layer."""

    module: ClassVar[Callable[..., nn.Module]]
    """Makes the parametrization from the initial kernels and options."""

    def __init__(self, weight: Tensor, **options: Any):
        super().__init__(weight)
        self.parametrization = type(self).module(weight, **options)

    @outside_autocast
    def weight(self, weight: Tensor) -> Tensor:
        normalized: Tensor = self.parametrization(weight)
        return normalized


M = TypeVar("M", bound="type[nn.Module]")


def in_layers(name: str, **facts: Any) -> Callable[[M], M]:
    """Decorator that registers a module for features under a name, with other facts of `Normalization`."""
    return _registering(name, FeatureNormalization, facts)


def on_weights(name: str, **facts: Any) -> Callable[[M], M]:
    """Decorator that registers a parametrization of kernels under a name, with other facts of `Normalization`."""
    return _registering(name, WeightNormalization, facts)


def _registering(name: str, base: type[Normalization], facts: dict[str, Any]) -> Callable[[M], M]:
    def add(module: M) -> M:
        # staticmethod: a class in a class attribute stays callable with its own arguments alone
        entry = type(
            f"{module.__name__}InLayers",
            (base,),
            {
                "module": staticmethod(module),
                "__doc__": module.__doc__,
                "__module__": module.__module__,
                **facts,
            },
        )
        normalizations.register(name)(entry)
        setattr(sys.modules[module.__module__], entry.__name__, entry)  # where pickle looks for it
        return module

    return add


def definition(kind: type[Normalization]) -> type[nn.Module]:
    """The class that defines a normalization: the module or parametrization that its entry puts into layers."""
    module: type[nn.Module] = getattr(kind, "module", kind)
    return module


def options_of(kind: type[Normalization]) -> list[str]:
    """Names of the options of a normalization."""
    given = {"self", "weight", "num_features", "num_conditions", "options", "args"}
    return [name for name in inspect.signature(definition(kind)).parameters if name not in given]


def check_options(name: str, options: Mapping[str, Any]) -> None:
    """Check that a normalization has these options.

    Raises:
        InputError: It has no option of a name.
    """
    known = options_of(normalizations[name])
    for option in options:
        if option not in known:
            raise InputError(
                f"Expected an option of the normalization {name} ({', '.join(known) or 'it has none'}), found "
                f"{option}. Leave it out, or choose another normalization."
            )


def largest_divisor(channels: int, at_most: int) -> int:
    """The largest divisor of a number of channels that is at most `at_most`."""
    return max(g for g in range(1, min(at_most, channels) + 1) if channels % g == 0)


def per_channel(value: Tensor) -> Tensor:
    """(C,) or (N, C) as a factor or summand of features (N, C, H, W)."""
    return value[..., None, None]


def affine_parameters(module: nn.Module, num_features: int, affine: bool) -> None:
    """Give a module γ = 1 and β = 0 for each channel, `weight` and `bias`. They are None without `affine`."""
    module.register_parameter("weight", nn.Parameter(torch.ones(num_features)) if affine else None)
    module.register_parameter("bias", nn.Parameter(torch.zeros(num_features)) if affine else None)


def scaled_and_shifted(module: nn.Module, x: Tensor) -> Tensor:
    """γ·x + β with the parameters of `affine_parameters`."""
    weight, bias = module.weight, module.bias
    if not isinstance(weight, Tensor) or not isinstance(bias, Tensor):
        return x
    return x * per_channel(weight) + per_channel(bias)
