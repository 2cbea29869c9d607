"""Measurements of a discriminator that is only called: what a logit sees, its size and its gradients."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor

from stylegan2.blackbox import layers as traced
from stylegan2.blackbox.generator import idle_parameters, untouched
from stylegan2.blackbox.tracing import Node, Trace, ancestors, modules_of
from stylegan2.errors import InputError
from stylegan2.probing.measure.recording import rms
from stylegan2.probing.measure.values import float_tensors


@dataclass(kw_only=True)
class DiscriminatorNumbers:
    """What was measured on a discriminator."""

    images_seen: int
    """Images of the batch on which the first logit depends: those whose replacement changes it."""
    gradients_seen: int
    """Images of the batch with a gradient of the first logit."""
    batch: int
    logit_rms: float
    logit_std: float
    """Standard deviation of the logits across images."""
    sensitivity: float
    """rms of the gradient of the logits with respect to an image, times √(number of values)."""
    finite: bool
    """Whether the gradient is finite if all images are equal."""
    r1: float
    """Mean over images of ‖∇ₓ ΣD(x)‖²."""
    r1_per_pixel: float
    training: bool
    appends_statistic: bool = False
    """Whether a constant channel is appended to the features, as minibatch standard deviation does."""
    batch_norm: bool = False
    sigmoid: bool = False
    """Whether the last operation is a sigmoid, so that the results are probabilities and no logits."""
    idle: list[str] = field(default_factory=list)
    """Modules and parameters that the logits do not depend on, if they depend on others."""
    vanished: list[str] = field(default_factory=list)
    """Places of normalizations that leave nothing of what they get."""
    layers: list[traced.Layer] = field(default_factory=list)
    activations: list[traced.ActivationGain] = field(default_factory=list)
    sums: list[traced.Sum] = field(default_factory=list)
    filters: list[traced.Filter] = field(default_factory=list)


def logits_of(output: object) -> Tensor:
    """The first floating-point tensor in a discriminator's output."""
    for tensor in float_tensors(output):
        return tensor
    raise InputError(
        "Expected a discriminator that returns logits, found no tensor of numbers. Return the logits."
    )


def smooth_images(n: int, channels: int, size: tuple[int, int], seed: int = 0) -> Tensor:
    """Images (n, channels, H, W) with the smoothness of photographs: white noise of 1/8 of the size, enlarged."""
    random = torch.Generator().manual_seed(seed)
    small = torch.randn(n, channels, max(size[0] // 8, 2), max(size[1] // 8, 2), generator=random)
    return (0.5 * F.interpolate(small, size=size, mode="bicubic")).clamp(-1, 1)


def measure_discriminator(
    discriminator: Callable[[Tensor], object], images: Tensor, seed: int = 0
) -> DiscriminatorNumbers:
    """Measure a discriminator by calling it on images (N, C, H, W). Its state is restored afterwards."""
    modules = modules_of(discriminator)

    def logits(x: Tensor) -> Tensor:
        torch.manual_seed(seed)
        return logits_of(discriminator(x)).float()

    def first_logit(x: Tensor) -> Tensor:
        with untouched(modules, seed), torch.no_grad():
            return logits(x)[0]

    with untouched(modules, seed):
        x = images.detach().clone().requires_grad_()
        before = first_logit(images)
        seen = 1
        for i in range(1, len(images)):
            changed = images.detach().clone()
            changed[i] = changed[0]
            seen += bool((first_logit(changed) - before).abs().max() > 1e-6 * before.abs().max() + 1e-12)
        out = logits(x)
        idle = idle_parameters(modules, out)
        first = out[:1].sum() if out.ndim and len(out) == len(x) else out.sum()
        (of_first,) = torch.autograd.grad(first, x, retain_graph=True)
        (gradient,) = torch.autograd.grad(out.sum(), x, retain_graph=True)
        same = images[:1].expand_as(images).clone().requires_grad_()
        (of_same,) = torch.autograd.grad(logits(same).sum(), same)
        squares = gradient.double().flatten(1).square().sum(dim=1)
        per_image = of_first.double().flatten(1).square().sum(dim=1)
        with Trace(modules) as trace:
            result = logits_of(discriminator(images.detach().clone()))
        trained = traced.trained_ids(modules)
        return DiscriminatorNumbers(
            images_seen=seen if len(out) == len(x) else len(x),
            gradients_seen=int((per_image > 1e-16 * per_image.max()).sum()),
            batch=len(images),
            logit_rms=rms(out),
            logit_std=out.detach().flatten(1).var(dim=0).mean().sqrt().item()
            if out.ndim > 1
            else float(out.detach().std()),
            sensitivity=squares.mean().sqrt().item(),
            finite=bool(torch.isfinite(of_same).all()),
            r1=squares.mean().item(),
            r1_per_pixel=squares.mean().item() / images[0].numel(),
            training=any(m.training for m in modules.values()),
            appends_statistic=any(_appends_statistic(trace, node) for node in trace.nodes if node.op in CATS),
            sigmoid=bool(trace.nodes) and _ends_in_sigmoid(trace, result),
            idle=idle,
            vanished=traced.vanished(trace, trained),
            batch_norm=any(node.op == "batch_norm" for node in trace.nodes),
            layers=traced.layers(trace, trained),
            activations=traced.activation_gains(trace),
            sums=traced.sums(trace),
            filters=traced.filters(trace, trained),
        )


def _ends_in_sigmoid(trace: Trace, logits: Tensor) -> bool:
    node = trace.node_of(logits)
    while node is not None and node.op in ("view", "reshape", "flatten", "squeeze") and node.inputs:
        node = node.inputs[0]
    return node is not None and node.op in ("sigmoid", "sigmoid_")


CATS = ("cat", "concat", "concatenate")


def _appends_statistic(trace: Trace, node: Node) -> bool:
    """Whether a concatenation of features adds few channels that are constant in space, or hold a deviation."""
    parts = [t for t in node.tensors if t.ndim == 4]
    if len(parts) < 2 or parts[0].shape[1] < 4:
        return False
    extra = parts[-1]
    constant = bool((extra.detach().flatten(2).var(dim=2) < 1e-12).all())
    nodes = [n for part in parts[1:] if (found := trace.node_of(part)) for n, _ in ancestors(found, 12)]
    return extra.shape[1] <= parts[0].shape[1] // 4 + 1 and (
        constant or any(n.op in ("var", "std", "sqrt", "pow", "square") for n in nodes)
    )
