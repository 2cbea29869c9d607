"""What a study of an optimum says, in numbers and in sentences."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from stylegan2.coordinates.fit import Slope, slopes
from stylegan2.coordinates.plan import DEFAULT, VARIANTS, Axis
from stylegan2.optimum.fit import Interval, Range, Rows, jackknife, optimum, overlap, shift, trains
from stylegan2.optimum.plan import Plan
from stylegan2.optimum.study import Curves


@dataclass(frozen=True)
class Curve:
    """A variant at one size."""

    variant: str
    number: int
    optimum: Interval
    """log₂ of the best value."""
    trains: Range
    best: float
    """The lowest geometric mean over seeds."""
    diverged: int
    """Trainings, of all values and seeds."""


@dataclass(frozen=True)
class Variant:
    """A variant over all sizes."""

    name: str
    curves: Sequence[Curve]
    """In ascending order of size."""
    shift: Interval
    """Of the optimum, from the first size to the last, in octaves. NaN if there is one size."""
    overlap: Interval
    """Length of the range of values that train at every size, in octaves."""
    is_open: bool
    """Whether the overlap may be longer, because it reaches an end of the sweep."""
    fewer: Interval
    """By how many octaves the overlap is shorter than that of the default. 0 for the default."""


def summarize(plan: Plan, scores: Curves) -> list[Variant]:
    """All variants, with the default first."""
    return [_variant(plan, scores, name) for name in plan.variants]


def _variant(plan: Plan, scores: Curves, name: str) -> Variant:
    def common(variant: str, seeds: Rows) -> Range:
        return overlap(
            [trains(plan.values, scores[variant, n][seeds], scores[DEFAULT, n][seeds]) for n in plan.numbers]
        )

    def fewer(seeds: Rows) -> float:
        return common(DEFAULT, seeds).octaves - common(name, seeds).octaves

    curves = [_curve(plan, scores, name, number) for number in plan.numbers]
    length = jackknife(lambda seeds: common(name, seeds).octaves, plan.seeds)
    return Variant(
        name=name,
        curves=curves,
        shift=shift(curves[0].optimum, curves[-1].optimum) if len(curves) > 1 else Interval(math.nan),
        overlap=Interval(length.estimate, max(length.low, 0.0), length.high),
        is_open=common(name, np.arange(plan.seeds)).is_open,
        fewer=jackknife(fewer, plan.seeds),
    )


def _curve(plan: Plan, scores: Curves, variant: str, number: int) -> Curve:
    of_seeds = scores[variant, number]
    with np.errstate(over="ignore"):
        best = float(2 ** np.log2(of_seeds).mean(axis=0).min())
    return Curve(
        variant=variant,
        number=number,
        optimum=optimum(plan.values, of_seeds),
        trains=trains(plan.values, of_seeds, scores[DEFAULT, number]),
        best=best,
        diverged=int(np.isinf(of_seeds).sum()),
    )


def exponents(plan: Plan, measured: Mapping[tuple[str, int], Sequence[float]], quantity: str) -> list[Slope]:
    """With which power of the size a quantity grows that was measured at the start.

    Args:
        plan: The study.
        measured: For each variant and size, one number for each seed.
        quantity: Its name.
    """
    x = tuple(float(number) for number in plan.numbers)
    axis = Axis(
        about=plan.over, x=x, sizes=tuple(map(plan.size, plan.numbers)), is_power=plan.over != "depth"
    )
    rows = {
        name: [[{quantity: measured[name, n][seed]} for n in plan.numbers] for seed in range(plan.seeds)]
        for name in plan.variants
    }
    return slopes(axis, "", rows)


# ---- in words


def sentences(plan: Plan, variants: Sequence[Variant]) -> list[str]:
    """One for the default, and one for each other variant."""
    default, *others = variants
    return [alone(plan, default), *(sentence(plan, default, variant) for variant in others)]


def alone(plan: Plan, default: Variant) -> str:
    """Where the values that train overlap with all scalings on, and where the optimum is."""
    found = _optimum(plan, default)
    return f"{default.name}: {_ranges(plan)} over {_octaves(default)}. {found[0].upper()}{found[1:]}"


def sentence(plan: Plan, default: Variant, without: Variant) -> str:
    """What a scaling is worth: where the values that train overlap, and where the optimum is."""
    scaling = next(iter(VARIANTS[without.name]))
    return (
        f"{without.name}: with {scaling} as by default, {_ranges(plan)} over {_octaves(default)}; without it, "
        f"over {_octaves(without)}. {_difference(without)} "
        f"With it, {_optimum(plan, default)} Without it, {_optimum(plan, without)}"
    )


def _ranges(plan: Plan) -> str:
    *others, last = [plan.label(number) for number in plan.numbers]
    if not others:
        return f"the range of {plan.name} that trains at {last} extends"
    return f"the ranges of {plan.name} that train at {', at '.join(others)} and at {last} overlap"


def _octaves(variant: Variant) -> str:
    least = "at least " if variant.is_open else ""
    return f"{least}{variant.overlap.estimate:.1f} octaves{interval(variant.overlap)}"


def _difference(without: Variant) -> str:
    found = without.fewer
    if found.low > 0:
        return f"It is shorter by {found.estimate:.1f} octaves{interval(found)} without it."
    if found.high < 0:
        return f"It is longer by {-found.estimate:.1f} octaves without it."
    return "The two lengths do not separate."


def _optimum(plan: Plan, variant: Variant) -> str:
    if len(plan.numbers) > 1:
        return moved(plan, variant)
    where = variant.curves[0].optimum
    if not math.isfinite(where.estimate):
        return "no optimum lies inside the values tried."
    return f"the best value is {best_value(where)}."


def best_value(optimum: Interval) -> str:
    """The best value with its 95 % interval, as far as they are known."""
    if not math.isfinite(optimum.estimate):
        return "at an end of the sweep"
    value = f"{2**optimum.estimate:.3g}"
    return f"{value} ({2**optimum.low:.3g} to {2**optimum.high:.3g})" if optimum.is_known else value


def moved(plan: Plan, variant: Variant) -> str:
    """How far the optimum of a variant moves with the size, or why that is not known."""
    first, last = plan.label(plan.numbers[0]), plan.label(plan.numbers[-1])
    where = variant.shift
    if not math.isfinite(where.estimate):
        curves = (variant.curves[0], variant.curves[-1])
        outside = [plan.label(c.number) for c in curves if not math.isfinite(c.optimum.estimate)]
        return f"no optimum lies inside the values tried at {' and at '.join(outside)}."
    found = f"the optimum at {last} is that at {first} times {2**where.estimate:.2g} ({where.estimate:+.1f} octaves"
    if not where.is_known:
        return f"{found}, with an interval that these seeds leave open): the two sizes do not separate."
    found += f", 95 %: {where.low:+.1f} to {where.high:+.1f})"
    return f"{found}." if where.low > 0 or where.high < 0 else f"{found}: the two sizes do not separate."


def interval(found: Interval) -> str:
    """The 95 % interval in brackets, or nothing if it is not known."""
    return f" (95 %: {found.low:.1f} to {found.high:.1f})" if found.is_known else ""


def row(plan: Plan, curve: Curve) -> list[str]:
    """A curve as a row of a table."""
    where = curve.trains
    ends = f"{'≤ ' * where.is_low_open}{2**where.low:.3g} to {'≥ ' * where.is_high_open}{2**where.high:.3g}"
    return [
        curve.variant,
        plan.label(curve.number),
        f"{curve.best:.3g}" if math.isfinite(curve.best) else "diverged",
        best_value(curve.optimum),
        ends if where.octaves else "none",
        f"{'≥ ' * where.is_open}{where.octaves:.1f}",
        str(curve.diverged),
    ]


HEAD = ["variant", "size", "best score", "optimum (95 %)", "values that train", "octaves", "diverged"]
