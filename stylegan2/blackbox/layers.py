"""What a trace says about layers, activations, filters and sums: the gain of each, and what it should be."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from stylegan2.blackbox.tracing import (
    ACTIVATIONS,
    LAYERS,
    NORMALIZATIONS,
    PRODUCTS,
    SUMS,
    Node,
    Trace,
    after_scalars,
    ancestors,
    common_ancestor,
)
from stylegan2.probing.measure.recording import rms


@dataclass(frozen=True, kw_only=True)
class Layer:
    """A product of features with trained weights."""

    place: str
    op: str
    gain: float
    """rms of the weights as they are used, times √fan_in: the gain for independent inputs."""
    xavier: float
    """The gain that this layer would have with Xavier's initialization, which is 1 for equal widths."""
    fan_in: int
    outputs: int
    input_rms: float
    output_rms: float
    modulated: bool
    """Whether each sample has its own weights."""
    demodulated: bool
    """Whether all kernels have the same length in all samples."""
    normalized: bool
    """Whether the result is normalized afterwards, so that the gain has no effect."""
    style: float | None = None
    """|mean| over rms of the numbers of each sample and input that its weights are multiplied by. None: no such."""


@dataclass(frozen=True, kw_only=True)
class ActivationGain:
    """An activation and the factor behind it."""

    place: str
    op: str
    gain: float
    """rms after the activation and its factor, over the rms before."""
    to_sum: bool
    """Whether a sum of two branches follows at once, whose gain may be part of the factor."""


@dataclass(frozen=True, kw_only=True)
class Sum:
    """A sum of two feature maps."""

    place: str
    branches: tuple[float, float]
    """rms of the two summands."""
    correlation: float
    output: float
    """rms of the sum, after a factor that follows it."""
    block_gain: float | None
    """rms of the output over that of the features that both branches start from. None: not found."""
    gain: float
    """The factor on the sum that would keep the mean variance of the branches."""
    factor: float
    """The factor that follows the sum."""
    channels: int


@dataclass(frozen=True, kw_only=True)
class Filter:
    """A convolution with weights that are not trained."""

    place: str
    total: float
    """Sum of the taps: the gain of a constant image."""
    right: float
    """1, or up² after zeros were inserted between the pixels."""


def layers(trace: Trace, trained: set[int]) -> list[Layer]:
    """The layers of a trace, in the order of their calls."""
    found = []
    for node in trace.nodes:
        if node.op not in LAYERS or len(node.tensors) < 2:
            continue
        index = 2 if node.op == "addmm" else 1
        weight = node.tensors[index] if len(node.tensors) > index else node.tensors[-1]
        if not _is_trained(trace, weight, trained) or _multiplies_squares(trace, node):
            continue
        groups = _groups(node)
        fan_in = _fan_in(node, weight, groups)
        samples = max(groups, 1) if node.op.startswith("conv") else 1
        channels = weight.shape[0 if node.op != "conv_transpose2d" else 1]
        outputs = channels // samples if node.op != "conv_transpose2d" else channels
        kernels = _kernels(node, weight, samples)
        lengths = kernels.norm(dim=1)
        found.append(
            Layer(
                place=node.place,
                op=node.op,
                gain=rms(weight) * math.sqrt(fan_in),
                xavier=math.sqrt(2 * fan_in / (fan_in + outputs * _taps(node, weight))),
                fan_in=fan_in,
                outputs=outputs,
                input_rms=node.input_sizes[0] if node.input_sizes else math.nan,
                output_rms=node.size,
                modulated=samples > 1,
                demodulated=samples > 1 and bool(lengths.std() < 1e-3 * lengths.mean()),
                normalized=_is_normalized(node),
                style=_style(trace, weight) if samples > 1 else None,
            )
        )
    return found


def _is_trained(trace: Trace, weight: Tensor, trained: set[int]) -> bool:
    if weight.ndim < 2:
        return False
    if id(weight) in trained:
        return True
    node = trace.node_of(weight)
    if node is None:
        return False
    # Weights come from a parameter by a few operations, and features by many.
    sources = [t for n, _ in ancestors(node, 30) for t in n.tensors]
    return any(id(t) in trained and t.ndim >= 2 for t in sources)


def _multiplies_squares(trace: Trace, node: Node) -> bool:
    """Whether a product is one of squares, such as the length of a modulated kernel, and not of features."""
    nodes = [found for t in node.tensors[:2] if (found := trace.node_of(t))]
    return any(
        n.op in ("square", "pow", "__pow__") for first in nodes for n, d in ancestors(first, 12) if d < 4
    )


def _style(trace: Trace, weight: Tensor) -> float | None:
    """|mean| over rms of the styles (N, 1, in, 1, 1) in a product that leads to modulated weights."""
    node = trace.node_of(weight)
    for before, _ in ancestors(node, 30) if node else ():
        for t in before.tensors:
            if (
                before.op in PRODUCTS
                and t.ndim == 5
                and t.shape[1] == 1
                and t.shape[2] > 1
                and t[0, 0, 0].numel() == 1
            ):
                return abs(t.detach().mean().item()) / max(rms(t), 1e-30)
    return None


def _groups(node: Node) -> int:
    groups = node.kwargs.get("groups", 1)
    weight, x = node.tensors[1], node.tensors[0]
    if node.op == "conv2d" and x.ndim == 4 and weight.ndim == 4:
        return int(x.shape[1] // weight.shape[1])
    if node.op == "conv_transpose2d" and x.ndim == 4:
        return int(groups)
    return 1


def _fan_in(node: Node, weight: Tensor, groups: int) -> int:
    if node.op == "conv_transpose2d":
        return int(weight.shape[0] // max(groups, 1) * weight[0, 0].numel())
    if node.op.startswith("conv"):
        return int(weight[0].numel())
    return int(node.tensors[1 if node.op == "addmm" else 0].shape[-1])


def _taps(node: Node, weight: Tensor) -> int:
    return weight[0, 0].numel() if node.op.startswith("conv") else 1


def _kernels(node: Node, weight: Tensor, samples: int) -> Tensor:
    """One row per kernel."""
    weight = weight.detach().float()
    if node.op == "conv_transpose2d":
        weight = weight.reshape(samples, -1, *weight.shape[1:]).transpose(1, 2).flatten(0, 1)
    return weight.reshape(len(weight), -1) if weight.ndim > 1 else weight[None]


def _is_normalized(node: Node) -> bool:
    """Whether a normalization, or a product with one number per sample and channel, follows the layer."""
    row = node.users
    for _ in range(4):
        if any(user.op in NORMALIZATIONS for user in row):
            return True
        for user in row:
            factors = [t for t in user.tensors if t.ndim == node.out.ndim and t.shape != user.out.shape]
            if "mul" in user.op and any(
                t.ndim == 4 and t.shape[2:].numel() == 1 and t.shape[1] == user.out.shape[1] > 1
                for t in factors
            ):
                return True
        row = [n for user in row for n in user.users if user.op not in LAYERS | ACTIVATIONS]
    return False


def activation_gains(trace: Trace) -> list[ActivationGain]:
    found = []
    for node in trace.nodes:
        if node.op not in ACTIVATIONS or not node.input_sizes or not node.input_sizes[0]:
            continue
        if any(before.op in ACTIVATIONS and before.out is node.out for before in node.inputs):
            continue  # a function of torch.nn.functional that calls another one
        if any(user.op in ACTIVATIONS and user.place == node.place for user in node.users):
            continue
        last = after_scalars(node)
        to_sum = any(user.op in SUMS and user.power is not None for user in last.users)
        gain = last.size / node.input_sizes[0]
        found.append(ActivationGain(place=node.place, op=node.op, gain=gain, to_sum=to_sum))
    return found


def sums(trace: Trace) -> list[Sum]:
    """Sums of two feature maps (N, C, H, W) of the same shape with more than one pixel."""
    found = []
    for node in trace.nodes:
        if node.op not in SUMS or node.power is None or node.out.ndim != 4 or node.out.shape[2:].numel() < 4:
            continue
        nodes = [trace.node_of(t) for t in node.tensors]
        if node.tensors[0] is node.out:  # in place: the node of the first summand is the sum itself
            nodes[0] = node.inputs[0] if node.inputs else None
        a, b = node.input_sizes
        variance = a * a + b * b + 2 * node.power * a * b
        last = after_scalars(node)
        start = common_ancestor(nodes[0], nodes[1]) if nodes[0] and nodes[1] else None
        found.append(
            Sum(
                place=node.place,
                branches=(a, b),
                correlation=node.power,
                output=last.size,
                block_gain=last.size / start.size if start is not None and start.size else None,
                gain=math.sqrt((a * a + b * b) / 2 / max(variance, 1e-30)),
                factor=last.size / max(node.size, 1e-30),
                channels=node.out.shape[1],
            )
        )
    return found


def filters(trace: Trace, trained: set[int]) -> list[Filter]:
    """Convolutions of single channels with fixed taps, such as low-pass filters."""
    found = []
    for node in trace.nodes:
        if node.op not in ("conv2d", "conv_transpose2d") or len(node.tensors) < 2:
            continue
        weight = node.tensors[1]
        if (
            weight.ndim != 4
            or weight.shape[1] != 1
            or weight[0].numel() < 3
            or _is_trained(trace, weight, trained)
        ):
            continue
        inserted = 1.0
        for before, _ in ancestors(node.inputs[0], 12) if node.inputs else ():
            if before.op in ("conv2d", "linear") and before is not node:
                break
            if before.op == "conv_transpose2d":
                inserted = 4.0
                break
            if before.op == "pad" and before.inputs and before.out.ndim > 4:  # zeros inside the image
                inserted = before.out.numel() / before.inputs[0].out.numel()
                break
        total = float(weight[0].detach().sum())
        stride = node.kwargs.get("stride", 1)
        if node.op == "conv_transpose2d":
            inserted = float(stride if isinstance(stride, int) else stride[0]) ** 2
        found.append(Filter(place=node.place, total=total, right=inserted))
    return found


def vanished(trace: Trace, trained: set[int]) -> list[str]:
    """Places of normalizations whose result is less than 0.001 of their input, such as those of maps of one pixel.

    Scales that are zero at the start do not count.
    """
    found = []
    for node in trace.nodes:
        scales = [rms(t) for t in node.tensors if t.ndim == 1 and id(t) in trained]
        size = node.inputs[0].size if node.inputs else rms(node.tensors[0]) if node.tensors else 0.0
        alive = not scales or max(scales) > 0.1
        if node.op in NORMALIZATIONS and alive and size > 1e-2 and node.size < 1e-3 * size:
            found.append(node.place)
    return found


def trained_ids(modules: dict[str, nn.Module]) -> set[int]:
    return {id(p) for module in modules.values() for p in module.parameters()}


def shared_draws(trace: Trace, batch: int) -> list[str]:
    """Places that draw noise for feature maps once for a batch: the first dimension is 1, not the batch."""
    return [
        node.place
        for node in trace.nodes
        if node.op in ("randn", "randn_like", "normal_", "rand", "normal")
        and node.out.ndim in (2, 3, 4)
        and node.out.shape[-1] == node.out.shape[-2] > 2
        and (node.out.ndim < 4 or node.out.shape[0] == 1)
        and batch > 1
        and not isinstance(node.out, torch.nn.Parameter)
    ]
