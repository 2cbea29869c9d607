"""What a study of an optimum compares: values of a hyperparameter, sizes of the networks, and scalings on and off."""

from __future__ import annotations

import math
import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np

from stylegan2.ablation.plan.study import Run
from stylegan2.coordinates.plan import DEFAULT, VARIANTS, Over, Size, chosen
from stylegan2.errors import InputError
from stylegan2.registry import check_choices

Task = Literal["discriminator", "gan"]

BASE = Size(width=16, resolution=16, batch=16, latent_dim=64)
"""The size of the networks, apart from what grows."""

SWEEPS: Mapping[str, str] = {
    "learning_rate": "0.0005..0.128x9",
    "r1.gamma": "0.01..1e6x9",
    "path_length.weight": "0.02..2000x6",
}
"""The hyperparameters, each with the values that are tried by default."""

DISCRIMINATOR_FIELDS = {"weight_scaling", "activation_gain", "residual_gain", "minibatch_stddev"}
"""The scalings of the discriminator. The others change nothing in a task without a generator."""

GROUP = 4
"""Images in a group of the minibatch stddev. Batches have whole groups."""

LEAST_VALUES = 4
"""The smallest number of values to which a parabola can be fitted with something left over."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Every variant is trained at every size, with every value of one hyperparameter and every seed.

    Raises:
        InputError: A value is out of range, or values do not fit together.
    """

    out: Path = Path("transfer")
    """The folder of the study."""
    task: Task = "discriminator"
    over: Over = "resolution"
    """What grows."""
    numbers: tuple[int, ...] = (16, 64)
    """The sizes, in ascending order."""
    name: str = "learning_rate"
    """The hyperparameter."""
    values: tuple[float, ...] = (0.001, 0.004, 0.016, 0.064)
    """Its values, in ascending order."""
    variants: tuple[str, ...] = (DEFAULT,)
    """Names of `coordinates.plan.VARIANTS`. The first is the default."""
    seeds: int = 3
    kimg: float = 2.4
    """Length of each training, in thousands of images."""
    data: str = "demo"

    def __post_init__(self) -> None:
        check_choices(self)
        if self.seeds < 2:
            raise InputError(f"Expected --seeds of 2 or more for an interval, found {self.seeds}. Try 4.")
        if not 0 < self.kimg < math.inf:
            raise InputError(f"Expected --kimg above 0, found {self.kimg}. Try 2.4.")
        if self.kimg * 1000 < self.size(self.numbers[-1]).batch:
            raise InputError(f"Expected --kimg of a batch or more, found {self.kimg}. Try 2.4.")
        if self.task == "gan":
            if self.over == "depth":
                raise InputError(
                    "Expected something else than depth to grow with --task gan, whose blocks grow with the "
                    "resolution. Let the resolution grow, or give --task discriminator."
                )
            return
        if self.over == "latent_dim" or self.name == "path_length.weight":
            what = "latents" if self.over == "latent_dim" else "path length"
            raise InputError(f"The task discriminator has no {what}. Give --task gan.")
        idle = [name for name in self.variants if VARIANTS[name].keys() - DISCRIMINATOR_FIELDS]
        if idle:
            raise InputError(
                f"Expected variants that act in a discriminator, found {', '.join(idle)}. Give --task gan, or "
                f"choose from {', '.join(sorted(DISCRIMINATOR_FIELDS))}."
            )

    @property
    def runs(self) -> list[Run]:
        """One for each curve: a variant at one size with one seed, over all values. Ordered by seed."""
        return [
            Run(variant=curve_name(variant, self.over, number), seed=seed)
            for seed in range(self.seeds)
            for variant in self.variants
            for number in self.numbers
        ]

    @cached_property
    def curves(self) -> dict[str, tuple[str, int]]:
        """(variant, size) of a curve by its name."""
        return {curve_name(v, self.over, n): (v, n) for v in self.variants for n in self.numbers}

    @property
    def fixed(self) -> dict[str, object]:
        """The settings that runs in one folder must share. Values, sizes, variants and seeds may be added."""
        shared = {"task": self.task, "over": self.over, "optimum": self.name, "kimg": self.kimg}
        return shared | {"data": self.data} | ({"detail": self.detail} if self.over == "depth" else {})

    @property
    def command(self) -> str:
        """What continues the study, or writes its report again."""
        sweep = f"{self.name}={self.values[0]:g}..{self.values[-1]:g}x{len(self.values)}"
        options = {
            "over": self.over,
            "sizes": ",".join(map(str, self.numbers)),
            "optimum": sweep,
            "task": self.task,
            "variants": ",".join(self.variants[1:]) or DEFAULT,
            "seeds": self.seeds,
            "kimg": f"{self.kimg:g}",
            "data": self.data,
            "out": self.out,
        }
        return "stylegan2 transfer " + shlex.join(
            part for k, v in options.items() for part in (f"--{k}", str(v))
        )

    @property
    def detail(self) -> int | None:
        """Side of the pictures before they are enlarged to the networks' size. None: they are not enlarged.

        With growing depth all networks get the same pictures, so that nothing but the number of blocks and pixels
        differs.
        """
        return self.size(self.numbers[0]).resolution if self.over == "depth" else None

    def size(self, number: int) -> Size:
        """The size of networks and batch of which `number` is what grows."""
        if self.over == "depth":
            return replace(BASE, resolution=4 * 2**number)
        return replace(BASE, **{self.over: number})

    def label(self, number: int) -> str:
        """A size in words, such as 64² or 3 blocks."""
        words = {
            "resolution": f"{number}²",
            "depth": f"{number} block{'s' if number > 1 else ''}",
            "width": f"{number} feature maps",
            "batch": f"batch {number}",
            "latent_dim": f"{number} latents",
        }
        return words[self.over]


def curve_name(variant: str, over: str, number: int) -> str:
    return f"{variant}-{over}{number}"


def parse_sweep(text: str, option: str = "--optimum") -> tuple[str, tuple[float, ...]]:
    """(hyperparameter, values) of learning_rate=0.0002..0.05x6, or of learning_rate alone, in geometric steps.

    Raises:
        InputError: The text is something else, or has fewer than four values.
    """
    name, _, values = text.partition("=")
    name = name.strip().removeprefix("model.")
    if name not in SWEEPS:
        raise InputError(
            f"Expected {option} of {', '.join(SWEEPS)}, found {name!r}. Try {name_and_values('learning_rate')}."
        )
    found = re.fullmatch(r"\s*(\S+?)\.\.(\S+?)x(\d+)\s*", values or SWEEPS[name])
    try:
        low, high, count = (float(found[1]), float(found[2]), int(found[3])) if found else (0.0, 0.0, 0)
    except ValueError:
        low = high = count = 0
    if not 0 < low < high < math.inf or not LEAST_VALUES <= count <= 100:
        raise InputError(
            f"Expected {option} {name} with an ascending range of {LEAST_VALUES} or more values above 0, "
            f"found {values!r}. Write it as {name_and_values(name)}."
        )
    # Rounded, so that the value in a file is the one that was tried.
    return name, tuple(float(f"{value:.4g}") for value in np.geomspace(low, high, count))


def name_and_values(name: str) -> str:
    return f"{name}={SWEEPS[name]}"


def parse_sizes(text: str, over: Over) -> tuple[int, ...]:
    """One size or more in ascending order, from a text such as 16,64.

    Raises:
        InputError: The text is something else, or networks cannot have such a size.
    """
    try:
        numbers = tuple(sorted({int(part) for part in text.split(",")}))
    except ValueError:
        numbers = ()
    rules: dict[str, tuple[str, Callable[[int], bool]]] = {
        "resolution": ("powers of two from 8 to 1024", lambda n: 8 <= n <= 1024 and n & (n - 1) == 0),
        "batch": (f"multiples of {GROUP}", lambda n: n >= GROUP and n % GROUP == 0),
        "depth": ("numbers of blocks from 1 to 8", lambda n: 1 <= n <= 8),
    }
    what, fits = rules.get(over, ("numbers from 1 up", lambda n: n >= 1))
    if not numbers or not all(map(fits, numbers)):
        example = {"resolution": "16,64", "depth": "1,4", "width": "16,64", "batch": "8,32"}.get(
            over, "16,256"
        )
        raise InputError(f"Expected --sizes of one or more {what}, found {text!r}. Try {example}.")
    return numbers


def chosen_variants(names: str, task: Task) -> tuple[str, ...]:
    """The variants that `--variants` names, with the default first. "all" is all that act in the task.

    Raises:
        InputError: A name is not that of a variant.
    """
    found: Sequence[str] = chosen(names)
    if task == "discriminator" and names == "all":
        found = [name for name in found if not VARIANTS[name].keys() - DISCRIMINATOR_FIELDS]
    return tuple(found)
