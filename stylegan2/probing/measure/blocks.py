"""Measurements on copies of single blocks and layers, with inputs for which theory predicts one number.

The input of a block is constant in space, so that neither low-pass filters nor padding change it. Weights are drawn
again several times with their own rms, and the result is averaged over the draws. It therefore does not depend on
the particular weights, even if a layer is narrow.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from stylegan2.networks.discriminator import Discriminator, DiscriminatorBlock
from stylegan2.networks.generator import Generator, SynthesisBlock
from stylegan2.networks.layers import EqualizedConv2d, SynthesisLayer, ToRGBLayer
from stylegan2.networks.normalization import Normalization
from stylegan2.networks.normalization.none import NoNormalization
from stylegan2.networks.scalings import Scalings
from stylegan2.probing.measure.recording import rms

Block = SynthesisBlock | DiscriminatorBlock
WITH_CLAMP = (SynthesisLayer, ToRGBLayer, EqualizedConv2d)

SIZE = 16
"""Side of a constant image in pixels. It is large enough that the zero padding does not affect the center."""


@torch.no_grad()
def block_gains(network: Generator | Discriminator, *, initial: bool = False) -> dict[str, float]:
    """The gain of each block: rms of its output over rms of its input, for features that are constant in space.

    The gain is about 1 by design. A leaky ReLU with gain √2 contributes 1.02 instead of 1, because its exact gain
    would be √2/√1.04.

    Args:
        network: A generator, of which the blocks from 8×8 on are measured, or a discriminator, of which the
            blocks down to 8×8 are measured.
        initial: True draws weights with the standard deviation of the initialization, and False with the rms
            that the weights have now.

    Returns:
        Gains by the name of the block. The dictionary is empty if the network normalizes features or weights,
        because this measurement does not apply to it.
    """
    plain = Normalization.features, Normalization.weight
    if any((type(m).features, type(m).weight) != plain for m in normalizations_of(network)):
        return {}
    scalings = network.scalings if initial else None
    if isinstance(network, Generator):
        ws = network.mapping(*latents(network, 4))[:, :3]
        blocks = {f"b{r}": getattr(network.synthesis, f"b{r}") for r in network.synthesis.resolutions[1:]}
        return {
            name: _gain(block, scalings, lambda b, x: b(x, None, ws, "none")[0], SIZE // 2)
            for name, block in blocks.items()
        }
    blocks = {f"b{r}": getattr(network, f"b{r}") for r in network.resolutions}
    return {name: _gain(block, scalings, lambda b, x: b(x, None)[0], SIZE) for name, block in blocks.items()}


def normalizations_of(network: nn.Module) -> list[Normalization]:
    """The normalization modules of all layers of a network."""
    return [module for module in network.modules() if isinstance(module, Normalization)]


def _gain(block: Block, scalings: Scalings | None, run: Callable[..., Tensor], size: int) -> float:
    block = copy.deepcopy(block)
    if isinstance(block, DiscriminatorBlock):
        block.fromrgb = None  # the features enter directly
    weights = [p for p in block.parameters() if p.ndim == 4]
    scales = [scalings.weight(p[0].numel())[0] if scalings else rms(p) for p in weights]
    for name, p in block.named_parameters():
        if p.ndim <= 1 and "affine" not in name:
            p.zero_()
    for layer in block.modules():
        if isinstance(layer, WITH_CLAMP):
            layer.clamp = None
    width = block.conv0.weight.shape[1]
    power, draws = 0.0, min(max(1024 // width, 2), 128)
    p = next(block.parameters())
    for _ in range(draws):
        for weight, scale in zip(weights, scales):
            weight.copy_(torch.randn_like(weight) * scale)  # a scale of NaN makes all weights NaN
        x = torch.randn(4, width, 1, 1, device=p.device, dtype=p.dtype)
        y = run(block, (x / rms(x)).expand(-1, -1, size, size).contiguous())
        power += center(y).float().square().mean().item() / draws
    return math.sqrt(power)


@torch.no_grad()
def filter_gains(generator: Generator, discriminator: Discriminator) -> dict[str, float]:
    """DC gain of each resampling stage: the value of a constant image after the stage over the value before it.

    Returns:
        Gains by the name of the layer, with the prefix "G." or "D.". The design value is 1.
    """
    found = {}
    for prefix, network in (("G.", generator), ("D.", discriminator)):
        for name, layer in network.named_modules():
            if isinstance(layer, (SynthesisLayer, EqualizedConv2d)) and (
                layer.up > 1 or getattr(layer, "down", 1) > 1
            ):
                found[prefix + name] = _layer_filter_gain(layer)
    ws = generator.mapping(*latents(generator, 1))
    if generator.config.architecture == "skip":
        for r in generator.synthesis.resolutions[1:]:
            block = getattr(generator.synthesis, f"b{r}")
            x = ws.new_zeros(1, block.conv0.weight.shape[1], SIZE, SIZE)
            ones = ws.new_ones(1, generator.img_channels, SIZE, SIZE)
            without, image = (block(x, ones * value, ws[:, :3], "none")[1] for value in (0, 1))
            found[f"G.synthesis.b{r}.image"] = center(image - without).mean().item()
    return found


def _layer_filter_gain(layer: SynthesisLayer | EqualizedConv2d) -> float:
    """Output of the layer with resampling over its output without, with kernels that are 1 in the middle."""
    layer = copy.deepcopy(layer)
    if not layer.normalization.demodulates:  # other normalizations would hide the gain of the filter
        layer.normalization = NoNormalization(layer.weight)
    k = layer.weight.shape[2] // 2
    layer.weight.zero_()
    layer.weight[:, :, k, k] = 1
    layer.clamp = None
    if layer.bias is not None:
        layer.bias.zero_()
    args: tuple[Any, ...] = (layer.weight.new_ones(1, layer.weight.shape[1], SIZE, SIZE),)
    if isinstance(layer, SynthesisLayer):
        if layer.styles_after:  # a conditional normalization also has shifts
            for parameter in layer.affine.parameters():
                parameter.data = parameter.data[: len(layer.weight)]
        layer.affine.weight.zero_()
        layer.affine.get_parameter("bias").fill_(1 / layer.affine.bias_gain)
        args += (layer.weight.new_zeros(1, layer.affine.weight.shape[1]), "none")
    resampled = center(layer(*args)).mean().item()
    layer.up = layer.down = 1
    layer.filter_gain = 1.0
    return resampled / center(layer(*args)).mean().item()


@torch.no_grad()
def style_response(generator: Generator) -> dict[str, float]:
    """Ratio of the output's rms with doubled styles to that with the original styles, without bias, per layer.

    It is 1 in synthesis layers with demodulation, and 2 in image layers, which have none.
    """
    found = {}
    w = generator.mapping(*latents(generator, 2))[:, 0]
    for name, layer in generator.synthesis.named_modules():
        if isinstance(layer, (SynthesisLayer, ToRGBLayer)):
            layer = copy.deepcopy(layer)
            layer.bias.zero_()
            args = (w,) if isinstance(layer, ToRGBLayer) else (w, "none")
            x = torch.randn(2, layer.weight.shape[1], 8, 8).to(w)
            before = layer(x, *args)
            handle = layer.affine.register_forward_hook(lambda m, args, out: out * 2)
            after = layer(x, *args)
            handle.remove()
            found[name] = rms(after) / max(rms(before), 1e-30)
    return found


@torch.no_grad()
def image_layer_gains(generator: Generator, *, initial: bool = False) -> dict[str, float]:
    """rms of each image layer's output over that of its features times styles, averaged over drawn weights.

    The design value is 1. `initial` has the meaning that it has in `block_gains`.
    """
    found = {}
    w = generator.mapping(*latents(generator, 4))[:, 0]
    for name, layer in generator.synthesis.named_modules():
        if not isinstance(layer, ToRGBLayer):
            continue
        layer = copy.deepcopy(layer)
        layer.clamp = None
        layer.bias.zero_()
        width = layer.weight.shape[1]
        scale = generator.scalings.weight(width)[0] if initial else rms(layer.weight)
        styles, squares = layer.affine(w), []
        for _ in range(16):
            layer.weight.copy_(torch.randn_like(layer.weight) * scale)
            x = torch.randn(4, width, 4, 4).to(w)
            squares.append((rms(layer(x, w)) / rms(x * styles[:, :, None, None])) ** 2)
        found[name] = math.sqrt(sum(squares) / len(squares))
    return found


@torch.no_grad()
def doubled_latent(generator: Generator) -> float:
    """rms of the change of w when the latents double, over the rms of w. It is 0 if latents are normalized."""
    z, c = latents(generator, 8)
    w, doubled = (generator.mapping(factor * z, c)[:, 0] for factor in (1, 2))
    return rms(doubled - w) / max(rms(w), 1e-30)


@torch.no_grad()
def low_precision_errors(
    generator: Generator, discriminator: Discriminator, z: Tensor, reals: Tensor, labels: Tensor
) -> dict[str, dict[str, Any]]:
    """Difference of each low-precision block from the same block in full precision, on the same inputs.

    Args:
        generator: Network G.
        discriminator: Network D.
        z: Latents (N, z_dim).
        reals: Real images (N, C, R, R) in [-1, 1].
        labels: (N, num_classes).

    Returns:
        A dictionary for each low-precision block, by its name. `dtype` is its type and `eps` the machine epsilon
        of the type. `error` is the rms of the difference over the rms in full precision. `bounded` tells whether
        every activation has a clamp.
    """
    networks = {
        "G.synthesis": (generator.synthesis, (generator.mapping(z, labels), "const")),
        "D": (discriminator, (reals, labels)),
    }
    found = {}
    for prefix, (network, inputs) in networks.items():
        for name, block, args in low_precision_inputs(network, inputs):
            full = copy.deepcopy(block)
            full.dtype = None
            low, right = block(*args), full(*args)
            found[f"{prefix}.{name}"] = {
                "dtype": str(low[0].dtype).removeprefix("torch."),
                "eps": torch.finfo(low[0].dtype).eps,
                "error": relative_error(low, right),
                "bounded": all(layer.clamp is not None for layer in block.modules() if _is_activated(layer)),
            }
    return found


def low_precision_inputs(
    network: nn.Module, inputs: tuple[Any, ...]
) -> Iterator[tuple[str, Block, tuple[Any, ...]]]:
    """(name, block, arguments of the block in a forward pass of the network) for each low-precision block."""
    blocks = {n: block for n, block in network.named_children() if isinstance(block, Block) and block.dtype}
    seen: dict[str, tuple[Any, ...]] = {}
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


def relative_error(found: tuple[Tensor | None, ...], right: tuple[Tensor | None, ...]) -> float:
    """rms of the difference over rms of the correct output: the largest over all outputs, or NaN if one is NaN."""
    ratios = [
        (a.float() - b.float()).square().mean().sqrt() / b.float().square().mean().sqrt().clamp_min(1e-30)
        for a, b in zip(found, right)
        if a is not None and b is not None
    ]
    return torch.stack(ratios).max().item()


def _is_activated(layer: nn.Module) -> bool:
    return hasattr(layer, "clamp") and getattr(layer, "activation", "") != "linear"


def latents(generator: Generator, n: int) -> tuple[Tensor, Tensor]:
    """Latents (n, z_dim) ~ N(0, 1), and labels (n, num_classes) that all are the first class."""
    p = next(generator.parameters())
    z = torch.randn(n, generator.z_dim, device=p.device, dtype=p.dtype)
    return z, torch.eye(max(generator.num_classes, 1)).to(p)[:1, : generator.num_classes].expand(n, -1)


def center(x: Tensor) -> Tensor:
    """The 2×2 pixels in the middle of (N, C, H, W)."""
    h, w = x.shape[2] // 2, x.shape[3] // 2
    return x[:, :, h - 1 : h + 1, w - 1 : w + 1]
