"""Somebody's penalty functions, compared on their own network with the definitions and with known mistakes."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from stylegan2.blackbox.discriminator import logits_of
from stylegan2.blackbox.generator import images_of, untouched
from stylegan2.blackbox.tracing import modules_of
from stylegan2.errors import InputError
from stylegan2.probing.findings import Finding, fault
from stylegan2.probing.measure.values import float_tensors

CLOSE = 2e-3
"""Largest relative difference of two numbers that should be equal. It is rounding in float32 with a margin."""


def check_r1(
    penalty: Callable[..., Tensor],
    discriminator: Callable[[Tensor], object],
    reals: Tensor,
    *,
    gamma: float = 10.0,
    every: int = 1,
    fakes: Tensor | None = None,
    seed: int = 0,
) -> list[Finding]:
    """Compare an R1 penalty with every·γ/2·E ‖∇ₓ D(x)‖² on reals (Mescheder et al. 2018; SG2 app. B).

    Args:
        penalty: Function of (discriminator, reals) or (discriminator, reals, fakes) that returns the scalar that
            is added to the loss.
        discriminator: Function of images that returns logits.
        reals: Real images (N, C, H, W), a whole number of groups of the minibatch standard deviation.
        gamma: The weight γ that the penalty is meant to have.
        every: Iterations between two evaluations. The penalty counts so many times as much.
        fakes: Generated images of the same shape. None: noise.
        seed: Seed of everything random.
    """
    fakes = torch.rand_like(reals) * 2 - 1 if fakes is None else fakes
    modules = modules_of(discriminator)
    with untouched(modules, seed):
        parameters = [p for m in modules.values() for p in m.parameters() if p.requires_grad]

        def logits(x: Tensor) -> Tensor:
            torch.manual_seed(seed)
            return logits_of(discriminator(x))

        def gradient(x: Tensor, reduce: Callable[[Tensor], Tensor] = torch.sum) -> Tensor:
            x = x.detach().clone().requires_grad_()
            (found,) = torch.autograd.grad(reduce(logits(x)), x, create_graph=True)
            return found

        torch.manual_seed(seed)
        takes_fakes = _positional(penalty) >= 3
        inputs = [t.detach().clone().requires_grad_() for t in ((reals, fakes) if takes_fakes else (reals,))]
        value = penalty(discriminator, *inputs)
        g, n, pixels = gradient(reals), len(reals), reals[0].numel()
        right = every * gamma / 2 * g.square().flatten(1).sum(dim=1).mean()
        ours = right.item()
        of_fakes = gradient(fakes).square().flatten(1).sum(dim=1).mean().item() * every * gamma / 2
        mean_first = (
            gradient(reals, torch.mean).square().flatten(1).sum(dim=1).mean().item() * every * gamma / 2
        )
        mistakes = {
            "γ instead of γ/2, a factor of 2": 2 * ours,
            "½·γ/2, a factor of ½": ours / 2,
            f"the mean over the pixels instead of the sum, a factor of 1/(C·H·W) = 1/{pixels}": ours / pixels,
            f"the sum over the batch instead of the mean, a factor of N = {n}": ours * n,
            f"the mean of the logits before the gradient, a factor of 1/N² = 1/{n * n}": mean_first,
            f"the mean of the logits and the sum over the batch, a factor of 1/N = 1/{n}": mean_first * n,
            "the length of the gradient instead of its square": every
            * gamma
            / 2
            * g.flatten(1).norm(dim=1).mean().item(),
            "the wrong axis: the sum is over the channels alone": every
            * gamma
            / 2
            * g.square().sum(dim=1).mean().item(),
            "the gradient at generated images instead of real ones": of_fakes,
            "absolute values instead of squares": every
            * gamma
            / 2
            * g.abs().flatten(1).sum(dim=1).mean().item(),
        }
        if every > 1:
            mistakes |= {
                f"the weight of lazy regularization is missing, a factor of 1/{every}": ours / every,
                f"the weight of lazy regularization twice, a factor of {every}": ours * every,
            }
        found = list(_compared("R1", value, ours, mistakes, "γ/2·E ‖∇ₓ D(x)‖²"))
        return found + list(_graph("R1", value, right, parameters, "the discriminator's weights"))


def check_path_length(
    penalty: Callable[..., Any],
    synthesis: Callable[[Tensor], object],
    ws: Tensor,
    *,
    mean: float = 1.0,
    decay: float = 0.01,
    weight: float = 2.0,
    every: int = 1,
    draws: int = 4,
    seed: int = 0,
) -> list[Finding]:
    """Compare a path length penalty with its definition (SG2 §3.2 and app. B).

    y ~ N(0, 1)/√(H·W); j = ∇_ws Σ(image·y); length = √(mean over the rows of ws of Σ_dim j²);
    a ← a + decay·(mean length - a); penalty = every·weight·mean (length - a)².

    Args:
        penalty: Function of (images, ws, a) that returns (penalty, new a) or (penalty, new a, lengths).
        synthesis: Function of ws that returns images (N, C, H, W).
        ws: (N, rows, w_dim), one row per layer.
        mean: The running mean a before the call.
        decay: The share by which a moves to the mean of the batch.
        weight: The weight that the penalty is meant to have.
        every: Iterations between two evaluations. The penalty counts so many times as much.
        draws: Evaluations that are averaged if the function draws y in another way than `torch.randn_like`.
        seed: Seed of everything random.

    Raises:
        InputError: The penalty function returns something else.
    """
    modules = modules_of(synthesis)
    with untouched(modules, seed):
        parameters = [p for m in modules.values() for p in m.parameters() if p.requires_grad]
        ws = ws.detach().clone().requires_grad_()

        def images() -> Tensor:
            torch.manual_seed(seed)
            return images_of(synthesis(ws))

        theirs, jacobians, new_mean, loss = [], [], mean, ws.new_zeros(())
        pixels = 1
        for draw in range(draws):
            image = images()
            pixels = image.shape[2] * image.shape[3]
            torch.manual_seed(seed + draw)
            result = penalty(image, ws, torch.tensor(mean))
            parts = list(result) if isinstance(result, (tuple, list)) else [result]
            if len(parts) < 2:
                raise InputError(
                    "Expected a path length penalty that returns (penalty, new mean), found "
                    f"{type(result).__name__}. Return the running mean too."
                )
            loss, new_mean = parts[0], float(parts[1])
            theirs.append(float(loss.detach()))
            torch.manual_seed(seed + draw)
            image = images()
            torch.manual_seed(seed + draw)
            y = torch.randn_like(image) / math.sqrt(pixels)
            (j,) = torch.autograd.grad((image * y).sum(), ws, create_graph=draw == draws - 1)
            jacobians.append(j)

        def value(lengths: Callable[[Tensor], Tensor], move: float = decay) -> float:
            found = [lengths(j) for j in jacobians]
            moved = [mean + move * (x.mean().item() - mean) for x in found]
            values = [(x - a).square().mean().item() for x, a in zip(found, moved)]
            return every * weight * sum(values) / len(values)

        def right(j: Tensor) -> Tensor:
            return j.square().sum(dim=2).mean(dim=1).sqrt()

        ours = value(right)
        last = right(jacobians[-1])
        expected_mean = mean + decay * (float(last.detach().mean()) - mean)
        ours_loss = every * weight * (last - (mean + decay * (last.mean() - mean))).square().mean()
        root, rows = math.sqrt(pixels), ws.shape[1]
        mistakes = {
            f"y is not divided by √(H·W) = {root:.4g}": value(lambda j: right(j) * root),
            f"y is divided by H·W instead of √(H·W), a factor of 1/{root:.4g}": value(
                lambda j: right(j) / root
            ),
            "the wrong axis: the mean is over the batch instead of the rows of ws": value(
                lambda j: j.square().sum(dim=2).mean(dim=0).sqrt()
            ),
            f"the sum over the rows of ws instead of the mean, a factor of √{rows}": value(
                lambda j: right(j) * math.sqrt(rows)
            ),
            "the wrong axis: the mean over the numbers of w instead of the sum": value(
                lambda j: j.square().sum(dim=1).mean(dim=1).sqrt()
            ),
            "the mean over the numbers of w and the rows": value(
                lambda j: j.square().mean(dim=(1, 2)).sqrt()
            ),
            "the square of the length instead of the length": value(lambda j: right(j).square()),
            f"the weight {weight:g} is missing, a factor of 1/{weight:g}": ours / weight,
            f"the weight {weight:g} twice": ours * weight,
            "half of the weight": ours / 2,
            "the running mean has no part in the penalty": value(right, 0.0) if decay else ours,
            "the mean of the batch instead of the running mean": value(right, 1.0),
        }
        if every > 1:
            mistakes |= {
                f"the weight of lazy regularization is missing, a factor of 1/{every}": ours / every,
                f"the weight of lazy regularization twice, a factor of {every}": ours * every,
            }
        average = torch.tensor(sum(theirs) / len(theirs))
        found = list(_compared("path length", average, ours, mistakes, f"{weight:g}·E (‖Jᵀy‖ - a)²"))
        if abs(new_mean - mean) < 1e-9 + 1e-6 * abs(mean) and abs(expected_mean - mean) > 1e-6:
            found.append(
                fault(
                    "path length mean not updated",
                    f"path length: the running mean stays at {new_mean:.4g}, should move to {expected_mean:.4g}; "
                    "likely cause: the function returns the old mean",
                )
            )
        elif not found and abs(new_mean - expected_mean) > 0.3 * abs(expected_mean - mean) + 1e-6:
            share = (new_mean - mean) / (float(last.mean()) - mean)
            found.append(
                fault(
                    "path length mean not updated",
                    f"path length: the running mean moves to {new_mean:.4g}, should move to {expected_mean:.4g}; it "
                    f"moves by {share:.3g} of the way, should be {decay:g}",
                )
            )
        return found + list(
            _graph("path length", loss, ours_loss, parameters, "the synthesis network's weights")
        )


def _positional(function: Callable[..., Any]) -> int:
    """Number of positional arguments without a default."""
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    try:
        parameters = inspect.signature(function).parameters.values()
    except ValueError:
        return 2
    return sum(p.kind in kinds and p.default is inspect.Parameter.empty for p in parameters)


def _compared(
    what: str, value: object, right: float, mistakes: dict[str, float], formula: str
) -> Iterator[Finding]:
    tensors = list(float_tensors(value))
    if len(tensors) != 1 or tensors[0].numel() != 1:
        shapes = [tuple(t.shape) for t in tensors]
        raise InputError(f"Expected a {what} penalty that is one number, found tensors of shapes {shapes}.")
    theirs = float(tensors[0].detach())
    if abs(theirs / max(right, 1e-30) - 1) < CLOSE:
        return
    ratios = {
        name: abs(math.log(max(abs(theirs), 1e-30) / max(abs(v), 1e-30))) for name, v in mistakes.items()
    }
    name = min(ratios, key=ratios.__getitem__)
    cause = name if ratios[name] < 5 * CLOSE else "none of the known mistakes"
    yield fault(
        f"{what} differs",
        f"{what}: the penalty is {theirs:.4g}, should be {right:.4g} ({formula}), a ratio of "
        f"{theirs / max(right, 1e-30):.4g}; likely cause: {cause}",
    )


def _graph(
    what: str, value: object, right: Tensor, parameters: Sequence[Tensor], which: str
) -> Iterator[Finding]:
    """Whether the penalty's gradient reaches the weights as the definition's does."""
    theirs = next(iter(float_tensors(value)), None)
    if not parameters or theirs is None:
        return
    reached = 0.0
    if theirs.requires_grad:
        found = torch.autograd.grad(theirs, parameters, allow_unused=True, retain_graph=True)
        reached = sum(float(g.norm()) for g in found if g is not None)
    (wanted, *_) = [sum(float(g.norm()) for g in _gradients(right, parameters))]
    if reached < 1e-6 * wanted:
        yield fault(
            f"{what} has no gradient",
            f"{what}: its gradient with respect to {which} has a norm of {reached:.3g}, should be about "
            f"{wanted:.3g}; "
            "likely cause: create_graph=True is missing, or the gradient is detached",
        )


def _gradients(value: Tensor, parameters: Sequence[Tensor]) -> list[Tensor]:
    found = torch.autograd.grad(value, parameters, allow_unused=True, retain_graph=True)
    return [g for g in found if g is not None]
