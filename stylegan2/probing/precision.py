"""Low-precision blocks beside the same blocks in the parameters' own precision, on the same inputs."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from stylegan2.networks.layers import SynthesisLayer, ToRGBLayer
from stylegan2.training.module import StyleGAN2

LARGE = 1e4
"""Factor on weights and styles that demodulation takes out again, and that no sum in float16 survives."""

ROUNDINGS = 8
"""Difference of a block from itself in full precision, in units of its type's eps: 0.5 to 1.2 for both types
and all architectures, 50 and more for the mildest mistake in bfloat16, 400 in float16."""


@torch.no_grad()
def low_precision_errors(model: StyleGAN2, z: Tensor, reals: Tensor, labels: Tensor) -> dict[str, dict]:
    """How far each low-precision block is from itself in full precision, by its name; {} if there is none.

    Args:
        model: Networks.
        z: (N, z_dim).
        reals: (N, C, R, R) in [-1, 1].
        labels: (N, num_classes).

    Returns:
        A block: `dtype` and its `eps`; `error`, rms of the difference over that of the features or images;
        `before_affine`, if that is large, the same against a block whose w is divided by max|w| before its
        affine layers, a known mistake; `large`, with demodulation, the error with weights and styles times
        LARGE; `bounded`, whether every activation has a clamp.
    """
    networks = {
        "G.synthesis": (model.generator.synthesis, (model.generator.mapping(z, labels), "const")),
        "D": (model.discriminator, (reals, labels)),
    }
    found = {}
    for prefix, (network, inputs) in networks.items():
        low = {name: block for name, block in network.named_children() if getattr(block, "dtype", None)}
        for name, block, args in _inputs(network, inputs, low):
            full = _outputs(_copy(block, dtype=None), args)
            layers = [layer for layer in block.modules() if isinstance(layer, SynthesisLayer)]
            out, eps = _outputs(block, args), torch.finfo(block.dtype).eps
            errors = {
                "dtype": str(block.dtype).removeprefix("torch."),
                "eps": eps,
                "error": _error(out, full),
                "before_affine": math.inf,
                "large": None,
                "bounded": all(layer.clamp is not None for layer in block.modules() if _is_activated(layer)),
            }
            if layers and not errors["error"] <= ROUNDINGS * eps:
                errors["before_affine"] = min(
                    _error(out, _outputs(_normalizing_w(_copy(block, dtype=None), kinds), args))
                    for kinds in (SynthesisLayer, (SynthesisLayer, ToRGBLayer))
                )
            if layers and all(layer.demodulate for layer in layers):
                errors["large"] = _error(_outputs(_scaled(_copy(block, block.dtype)), args), full)
            found[f"{prefix}.{name}"] = errors
    return found


def _inputs(network: nn.Module, inputs: tuple, blocks: dict[str, nn.Module]) -> Iterator[tuple]:
    """(name, block, its arguments in a forward pass of the network)."""
    seen: dict[str, tuple] = {}
    handles = [
        block.register_forward_pre_hook(lambda m, args, name=name: seen.__setitem__(name, args))
        for name, block in blocks.items()
    ]
    try:
        if blocks:
            network(*inputs)
    finally:
        for handle in handles:
            handle.remove()
    for name, block in blocks.items():
        yield name, block, seen.pop(name)


def _copy(block: nn.Module, dtype: torch.dtype | None) -> nn.Module:
    block = copy.deepcopy(block)
    block.dtype = dtype
    return block


def _normalizing_w(block: nn.Module, kinds: type | tuple[type, ...]) -> nn.Module:
    for layer in block.modules():
        if isinstance(layer, kinds):
            layer.affine.register_forward_pre_hook(
                lambda m, args: (args[0] / args[0].abs().amax(dim=1, keepdim=True),)
            )
    return block


def _scaled(block: nn.Module) -> nn.Module:
    for layer in block.modules():
        if isinstance(layer, SynthesisLayer):
            layer.weight.mul_(LARGE)
            layer.affine.register_forward_hook(lambda m, args, out: out * LARGE)
    return block


def _is_activated(layer: nn.Module) -> bool:
    return hasattr(layer, "clamp") and getattr(layer, "activation", "lrelu") == "lrelu"


def _outputs(block: nn.Module, args: tuple) -> list[Tensor]:
    return [out.float() for out in block(*args) if out is not None]


def _error(found: list[Tensor], right: list[Tensor]) -> float:
    """The worst output's; NaN or infinite if one is."""
    ratios = [
        (a - b).square().mean().sqrt() / b.square().mean().sqrt().clamp_min(1e-30)
        for a, b in zip(found, right)
    ]
    return torch.stack(ratios).max().item()
