"""A layer whose weights and features are normalized by what a configuration names."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor, nn

from stylegan2.errors import InputError

from .normalization.base import (
    Convolution,
    Normalization,
    changes_features,
    changes_weights,
    check_options,
    normalizations,
    options_of,
)
from .normalization.options import NormalizationOptions


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The normalizations of a layer by name, and their options.

    Raises:
        InputError: A name is unknown, `weights` names none of weights, or an option belongs to neither.
    """

    features: str = "none"
    """The normalization in the place of demodulation, one of features or of weights."""

    weights: str = "none"
    """A normalization of weights beside it."""

    options: NormalizationOptions = NormalizationOptions()
    styles_after: bool = False
    """Whether the styles scale what a normalization of features returned, instead of the input of the layer."""

    def __post_init__(self) -> None:
        kind = normalizations[self.weights]
        if self.weights != "none" and (changes_features(kind) or kind.demodulates):
            names = [n for n, k in normalizations.items() if changes_weights(k) and not changes_features(k)]
            names.remove("demodulation")
            raise InputError(
                f"Expected a normalization of weights as weight_normalization ({', '.join(names)}), found "
                f"{self.weights}. Set it as normalization instead."
            )
        if self.weights != "none" and changes_weights(self.kind) and not self.kind.demodulates:
            raise InputError(
                f"Expected at most one normalization of weights, found {self.features} and {self.weights}. Set "
                f"normalization or weight_normalization to none."
            )
        options = self.options.given()
        of_weights = {name: value for name, value in options.items() if name in options_of(kind)}
        check_options(self.features, {name: v for name, v in options.items() if name not in of_weights})

    @classmethod
    def of(cls, plan: str | Plan) -> Plan:
        """A plan itself, or that of a normalization by name."""
        return plan if isinstance(plan, Plan) else cls(features=plan)

    @property
    def kind(self) -> type[Normalization]:
        return normalizations[self.features]

    @property
    def changes_features(self) -> bool:
        return changes_features(self.kind)


class NormalizedLayer(nn.Module):
    """A layer with kernels (O, I, k, k) that normalizes them, or its features, or both."""

    weight: nn.Parameter
    weight_gain: float
    activation: str
    normalization: Normalization
    weight_normalization: Normalization | None

    def __init__(self) -> None:
        super().__init__()
        self.weight_normalization = None

    def add_normalizations(self, plan: Plan, num_conditions: int = 0) -> None:
        """Create the normalizations, which may depend on the initial weights."""
        weight, options = self.weight.detach() * self.weight_gain, plan.options.given()

        def made(name: str, **others: int) -> Normalization:
            kind = normalizations[name]
            own = {key: value for key, value in options.items() if key in options_of(kind)}
            return kind(weight, **own, **others)

        self.normalization = (
            made(plan.features, num_conditions=num_conditions)
            if plan.kind.conditional
            else made(plan.features)
        )
        if plan.weights != "none":
            self.weight_normalization = made(plan.weights)
        if plan.kind.activates:
            self.activation = "linear"  # the gain stays that of the activation

    def kernel(self, equalized: Callable[[Tensor, float], Tensor]) -> Tensor:
        """The kernels that the convolution uses."""
        chosen = [n for n in (self.weight_normalization, self.normalization) if n is not None]
        if self.training:
            for normalization in chosen:
                normalization.prepare(self.weight)
        weight = equalized(self.weight, self.weight_gain)
        for normalization in chosen:
            weight = normalization.weight(weight)
        return weight

    def normalized(self, y: Tensor, source: Convolution, condition: Tensor | None = None) -> Tensor:
        """The features that noise and bias are added to.

        Args:
            y: The convolved features (N, O, H, W).
            source: The input of the convolution.
            condition: What a conditional normalization reads.

        Raises:
            ValueError: A condition is needed and missing.
        """
        normalization: Callable[..., Tensor] = self.normalization.features
        if self.normalization.conditional:
            if condition is None:
                raise ValueError(
                    "expected a condition for the conditional normalization, got none: give labels"
                )
            return normalization(y, condition)
        return normalization(y, source) if self.normalization.reads_input else normalization(y)
