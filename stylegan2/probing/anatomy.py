"""Measurements on parts of the networks with inputs made for the purpose, where theory gives one number.

Every part is copied first. A signal that is constant in space meets no filter and no padding; weights drawn
anew, at their own rms, make an average over networks out of one: narrow layers measure as well as wide.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from stylegan2.networks.discriminator import Discriminator
from stylegan2.networks.generator import Generator
from stylegan2.networks.layers import EqualizedConv2d, SynthesisLayer, ToRGBLayer
from stylegan2.networks.scalings import Scalings

SIZE = 16
"""Pixels of a constant image: its centre is further than the kernels reach from the zeros around it."""


@torch.no_grad()
def block_gains(network: Generator | Discriminator, initial: bool = False) -> dict[str, float]:
    """rms after a block over rms before it, for features of rms 1 that are constant in space.

    About 1 by design: 1.02 for every leaky ReLU of gain √2, whose exact gain would be √2/√1.04.

    Args:
        network: Generator (its blocks from 8×8 on) or discriminator (its blocks down to 8×8).
        initial: Draw weights as at initialisation, instead of at the rms they have now.
    """
    found, scalings = {}, network.scalings if initial else None
    if isinstance(network, Generator):
        ws = network.mapping(*latents(network, 4))[:, :3]
        for r in network.synthesis.resolutions[1:]:
            block = copy.deepcopy(getattr(network.synthesis, f"b{r}"))
            width = block.conv0.weight.shape[1]
            found[f"b{r}"] = _gain(block, width, scalings, lambda b, x: b(x, None, ws, "none")[0], SIZE // 2)
        return found
    for r in network.resolutions:
        block = copy.deepcopy(getattr(network, f"b{r}"))
        block.fromrgb = None  # its own input, here the features
        width = block.conv0.weight.shape[1]
        found[f"b{r}"] = _gain(block, width, scalings, lambda b, x: b(x, None)[0], SIZE)
    return found


def _gain(block: nn.Module, width: int, scalings: Scalings | None, run: Callable, size: int) -> float:
    weights = [p for p in block.parameters() if p.ndim == 4]
    scales = [scalings.weight(p[0].numel())[0] if scalings else _rms(p) for p in weights]
    for name, p in block.named_parameters():
        if p.ndim <= 1 and "affine" not in name:
            p.zero_()
    for layer in block.modules():
        if hasattr(layer, "clamp"):
            layer.clamp = None
    power, draws = 0.0, min(max(1024 // width, 2), 128)
    p = next(block.parameters())
    for _ in range(draws):
        for weight, scale in zip(weights, scales):
            weight.copy_(torch.randn_like(weight) * scale)  # a NaN stays one
        x = torch.randn(4, width, 1, 1, device=p.device, dtype=p.dtype)
        y = run(block, (x / _rms(x)).expand(-1, -1, size, size).contiguous())
        power += _centre(y).float().square().mean().item() / draws
    return math.sqrt(power)


@torch.no_grad()
def filter_gains(generator: Generator, discriminator: Discriminator) -> dict[str, float]:
    """Value of a constant image after each stage of re-sampling, over its value before."""
    found = {}
    for prefix, network in (("G.", generator), ("D.", discriminator)):
        for name, layer in network.named_modules():
            if isinstance(layer, (SynthesisLayer, EqualizedConv2d)) and (
                layer.up > 1 or getattr(layer, "down", 1) > 1
            ):
                found[prefix + name] = _layer_filter_gain(layer)
    ws = generator.mapping(*latents(generator, 1))
    if generator.config["architecture"] == "skip":
        for r in generator.synthesis.resolutions[1:]:
            block = getattr(generator.synthesis, f"b{r}")
            x = ws.new_zeros(1, block.conv0.weight.shape[1], SIZE, SIZE)
            ones = ws.new_ones(1, generator.img_channels, SIZE, SIZE)
            without, image = (block(x, ones * value, ws[:, :3], "none")[1] for value in (0, 1))
            found[f"G.synthesis.b{r}.image"] = _centre(image - without).mean().item()
    return found


def _layer_filter_gain(layer: SynthesisLayer | EqualizedConv2d) -> float:
    """The layer with re-sampling over the same without, its kernels a single 1 in the middle."""
    layer = copy.deepcopy(layer)
    k = layer.weight.shape[2] // 2
    layer.weight.zero_()
    layer.weight[:, :, k, k] = 1
    layer.clamp = None
    if layer.bias is not None:
        layer.bias.zero_()
    x = layer.weight.new_ones(1, layer.weight.shape[1], SIZE, SIZE)
    if isinstance(layer, SynthesisLayer):
        affine = layer.affine
        affine.weight.zero_()
        affine.bias.fill_(1 / affine.bias_gain)
        args = (x, layer.weight.new_zeros(1, affine.weight.shape[1]), "none")
    else:
        args = (x,)
    resampled = _centre(layer(*args)).mean().item()
    layer.up = 1
    if hasattr(layer, "down"):
        layer.down = 1
    return resampled / _centre(layer(*args)).mean().item()


@torch.no_grad()
def style_response(generator: Generator) -> dict[str, float]:
    """Output of each synthesis and image layer, less its bias, when its styles are doubled, over that before.

    Demodulation makes it 1 in synthesis layers; image layers have none, and follow: 2.
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
            found[name] = _rms(after) / max(_rms(before), 1e-30)
    return found


@torch.no_grad()
def image_layers(generator: Generator, initial: bool = False) -> dict[str, dict[str, float]]:
    """Of each ToRGB layer: its gain, and its departure from linearity; `initial` as in `block_gains`.

    gain: rms of the output over that of features times styles, weights drawn anew; 1 by design.
    nonlinearity: rms of f(x) + f(-x) - 2·f(0) over that of f(x) - f(-x); 0 for a linear layer, and about 2/3
    for a leaky ReLU of slope 0.2.
    """
    found = {}
    w = generator.mapping(*latents(generator, 4))[:, 0]
    for name, layer in generator.synthesis.named_modules():
        if not isinstance(layer, ToRGBLayer):
            continue
        layer = copy.deepcopy(layer)
        layer.clamp = None
        width = layer.weight.shape[1]
        scale = generator.scalings.weight(width)[0] if initial else _rms(layer.weight)
        styles = layer.affine(w)
        ratios, oddness = [], []
        for _ in range(16):
            layer.weight.copy_(torch.randn_like(layer.weight) * scale)
            x = torch.randn(4, width, 4, 4).to(w)
            plus, minus, zero = layer(x, w), layer(-x, w), layer(x * 0, w)
            ratios.append((plus - zero).square().mean() / (x * styles[:, :, None, None]).square().mean())
            oddness.append(_rms(plus + minus - 2 * zero) / max(_rms(plus - minus), 1e-30))
        found[name] = {
            "gain": torch.stack(ratios).mean().sqrt().item(),
            "nonlinearity": sum(oddness) / len(oddness),
        }
    return found


@torch.no_grad()
def minibatch_stddev_error(discriminator: Discriminator) -> dict[str, float] | None:
    """Compare the channels appended to random features, as the layer after them gets them, with an oracle.

    Returns:
        `error`: largest relative difference from a computation sample by sample. `unbiased`, `scalar`: the
        same for two known mistakes, variance over G - 1 and one number for the whole batch. None: no such
        channels.
    """
    k = discriminator.b4.stddev_channels
    if not k:
        return None
    seen: list[Tensor] = []
    handle = discriminator.b4.conv.register_forward_pre_hook(lambda m, args: seen.append(args[0].detach()))
    try:
        discriminator.b4(*_last_features(discriminator, 2 * (discriminator.minibatch_group or 4)))
    finally:
        handle.remove()
    features, found = seen[0][:, :-k].double(), seen[0][:, -k:].double()
    n, group = len(features), discriminator.minibatch_group
    groups = n // min(group or n, n)

    def oracle(unbiased: bool) -> Tensor:
        rows = []
        for i in range(n):
            members = torch.stack([features[j] for j in range(n) if j % groups == i % groups])
            variance = ((members - members.mean(dim=0)) ** 2).sum(dim=0) / (len(members) - unbiased)
            std = (variance + 1e-8).sqrt()
            rows.append(torch.stack([part.mean() for part in std.chunk(k)]))
        return torch.stack(rows)[:, :, None, None]

    right, size = oracle(False), oracle(False).abs().max().clamp_min(1e-30)
    return {
        "error": ((found - right).abs().max() / size).item(),
        "unbiased": ((found - oracle(True)).abs().max() / size).item(),
        "scalar": ((found - right.mean()).abs().max() / size).item(),
    }


def identical_images_gradient(discriminator: Discriminator) -> bool:
    """Whether the gradient of D's end is finite where the batch's standard deviation is an exact zero."""
    x, image = (f if f is None else f[:1].repeat(4, 1, 1, 1) for f in _last_features(discriminator, 1))
    x.requires_grad_()
    (gradient,) = torch.autograd.grad(discriminator.b4(x, image).sum(), x)
    return bool(torch.isfinite(gradient).all())


def _last_features(discriminator: Discriminator, n: int) -> tuple[Tensor, Tensor | None]:
    """Features (n, channels, 4, 4) for D's end, of rms 1 to n, and the image that some architectures add."""
    end = discriminator.b4
    features = torch.randn(n, end.conv.weight.shape[1] - end.stddev_channels, 4, 4).to(end.conv.weight)
    features *= torch.arange(1, n + 1).to(features)[:, None, None, None]  # or all groups would be alike
    image = torch.randn(n, discriminator.img_channels, 4, 4).to(features)
    return features, image if end.fromrgb is not None else None


@torch.no_grad()
def doubled_latent(generator: Generator) -> float:
    """rms of w's change when latents double, over that of w: 0 if they are normalised."""
    z, c = latents(generator, 8)
    w, doubled = (generator.mapping(factor * z, c)[:, 0] for factor in (1, 2))
    return _rms(doubled - w) / max(_rms(w), 1e-30)


def zero_length_gradient(path_length: Callable, rows: int = 4) -> bool:
    """Whether the path length's penalty has a finite gradient where a length is an exact zero."""
    ws = torch.randn(2, rows, 8, requires_grad=True)
    scale = torch.zeros([], requires_grad=True)  # a generator that ignores ws, as a parameter of it sees it

    def synthesis(ws: Tensor) -> Tensor:
        return (ws.square().sum(dim=(1, 2)) * scale)[:, None, None, None].expand(-1, 3, 8, 8)

    penalty, _, _ = path_length(synthesis, ws, torch.ones([]))
    gradients = torch.autograd.grad(penalty, [ws, scale], allow_unused=True)
    return all(g is None or bool(torch.isfinite(g).all()) for g in gradients)


def used_rows(generator: Generator) -> int:
    """Rows of ws the synthesis network can take: 2·log2(R) - 2."""
    return 2 * int(math.log2(generator.resolution)) - 2


def latents(generator: Generator, n: int) -> tuple[Tensor, Tensor]:
    """z (n, z_dim) ~ N(0, 1), and labels (n, num_classes) of the first class."""
    p = next(generator.parameters())
    z = torch.randn(n, generator.z_dim, device=p.device, dtype=p.dtype)
    return z, torch.eye(max(generator.num_classes, 1)).to(p)[:1, : generator.num_classes].expand(n, -1)


def _centre(x: Tensor) -> Tensor:
    """The middle 2×2 pixels."""
    h, w = x.shape[2] // 2, x.shape[3] // 2
    return x[:, :, h - 1 : h + 1, w - 1 : w + 1]


def _rms(x: Tensor) -> float:
    return x.detach().float().square().mean().sqrt().item()
