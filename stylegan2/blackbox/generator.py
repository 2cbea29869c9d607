"""Measurements of a generator that is only called: what its images depend on, and how large everything is."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from stylegan2.blackbox import layers as traced
from stylegan2.blackbox.equivariance import Shift, Upsampling, shift, upsampling
from stylegan2.blackbox.tracing import Trace, modules_of
from stylegan2.errors import InputError
from stylegan2.probing.measure.isolation import restored, without_zeros, zero_initialized
from stylegan2.probing.measure.recording import rms
from stylegan2.probing.measure.values import all_tensors, float_tensors

if TYPE_CHECKING:
    from collections.abc import Iterator

SLICES = 8
"""Equal parts of z whose influence is measured one at a time."""


@dataclass(kw_only=True)
class GeneratorNumbers:
    """What was measured on a generator. Standard deviations are averaged over pixels."""

    rms: float
    mean: float
    std_z: float
    """Standard deviation of the image across z, without what noise contributes."""
    std_noise: float
    """The same across samples of one batch with equal z."""
    std_call: float
    """The same across calls with equal z and other random numbers."""
    std_noise_at_1: float
    std_call_at_1: float
    """These two with parameters that are zero at the start, such as strengths of noise, set to 1."""
    slices: list[float]
    """Change of the image when a part of z is replaced, over that when all of z is."""
    doubled: float
    """Change of the image when z doubles, over its standard deviation across z."""
    coupling: float
    """Change of the first image when the other latents of the batch change, over the image's rms."""
    saturated: float
    """Share of values within 1 % of the largest, if this is at most 1."""
    fine: float
    """Share of the power in the highest octave of the spectrum. White noise has 0.75 or more."""
    training: bool
    initial: bool
    shift: Shift | None = None
    """None: it cannot be measured."""
    upsampling: list[Upsampling] = field(default_factory=list)
    zero_maps: list[str] = field(default_factory=list)
    """Parameters with several dimensions that are zero everywhere."""
    idle: list[str] = field(default_factory=list)
    """Modules and parameters that the image does not depend on, if it depends on others."""
    vanished: list[str] = field(default_factory=list)
    """Places of normalizations that leave nothing of what they get."""
    shared_draws: list[str] = field(default_factory=list)
    batch_norm: bool = False
    layers: list[traced.Layer] = field(default_factory=list)
    activations: list[traced.ActivationGain] = field(default_factory=list)
    sums: list[traced.Sum] = field(default_factory=list)
    filters: list[traced.Filter] = field(default_factory=list)

    @property
    def share(self) -> float:
        """Standard deviation across z over the rms of the image."""
        return self.std_z / max(self.rms, 1e-30)


def images_of(output: object) -> Tensor:
    """The first tensor (N, C, H, W) in a generator's output."""
    for tensor in float_tensors(output):
        if tensor.ndim == 4:
            return tensor
    shapes = [tuple(t.shape) for t in all_tensors(output)]
    raise InputError(
        f"Expected a generator that returns images (N, C, H, W), found tensors of shapes {shapes}. "
        "Give a function of z that returns the images."
    )


@contextmanager
def untouched(modules: dict[str, nn.Module], seed: int) -> Iterator[None]:
    """Restore buffers, flags and the random state of all modules after the block."""
    with ExitStack() as stack:
        for module in modules.values():
            stack.enter_context(restored(module, seed))
        stack.enter_context(torch.random.fork_rng())
        stack.enter_context(torch.enable_grad())
        yield


def measure_generator(
    generator: Callable[[Tensor], object], sample_z: Callable[[int], Tensor], n: int = 8, seed: int = 0
) -> GeneratorNumbers:
    """Measure a generator by calling it on latents of `sample_z`. Its state is restored afterwards.

    Args:
        generator: Function of latents (N, ...) that returns images (N, C, H, W), alone or in a container.
        sample_z: Function of a number N that returns latents (N, ...).
        n: Latents in a batch.
        seed: Seed of latents and of everything random in the generator.
    """
    modules = modules_of(generator)

    def images(z: Tensor, call: int = 0) -> Tensor:
        torch.manual_seed(seed + call)
        with torch.no_grad():
            return images_of(generator(z)).float()

    with untouched(modules, seed):
        torch.manual_seed(seed + 1)
        z, others = sample_z(n), sample_z(n)
        base = images(z)
        equal = z[:1].expand_as(z).clone()
        noise, call = _noise(images, equal)
        zeros = [
            p for m in modules.values() for p in zero_initialized(m).values() if p.ndim <= 1 or p.numel() == 1
        ]
        zero_maps = [k for m in modules.values() for k, p in zero_initialized(m).items() if p.ndim > 1]
        with without_zeros(zeros):
            noise_1, call_1 = _noise(images, equal)
        total = _std(base) ** 2 - noise**2
        std_z = math.sqrt(max(total, 0.0))
        whole = max(rms(images(others) - base), 1e-30)
        slices = []
        width = z.shape[-1] if z.ndim == 2 else 0
        for part in torch.arange(width).chunk(SLICES) if width >= SLICES else ():
            mixed = z.clone()
            mixed[:, part] = others[:, part]
            slices.append(rms(images(mixed) - base) / whole)
        mixed = torch.cat([z[:1], others[1:]])
        size = rms(base)
        numbers = GeneratorNumbers(
            rms=size,
            mean=base.mean().item(),
            std_z=std_z,
            std_noise=noise,
            std_call=call,
            std_noise_at_1=noise_1,
            std_call_at_1=call_1,
            slices=slices,
            doubled=rms(images(2 * z) - base) / max(std_z, 1e-30),
            coupling=rms((images(mixed) - base)[:1]) / max(size, 1e-30),
            saturated=_saturated(base),
            fine=_fine(base),
            training=any(m.training for m in modules.values()),
            initial=any(p.numel() > 1 and not p.any() for _, p in _parameters(modules)),
        )
        numbers.zero_maps = zero_maps
        torch.manual_seed(seed)
        numbers.idle = idle_parameters(modules, images_of(generator(z)))
        with Trace(modules) as trace:
            images(z)
        numbers.shift = shift(trace, lambda: images(z))
        numbers.upsampling = upsampling(modules, lambda: images(z))
        trained = traced.trained_ids(modules)
        numbers.layers = traced.layers(trace, trained)
        numbers.activations = traced.activation_gains(trace)
        numbers.sums = traced.sums(trace)
        numbers.filters = traced.filters(trace, trained)
        numbers.vanished = traced.vanished(trace, trained)
        numbers.shared_draws = traced.shared_draws(trace, n)
        numbers.batch_norm = any(node.op == "batch_norm" for node in trace.nodes)
    return numbers


def _parameters(modules: dict[str, nn.Module]) -> Iterator[tuple[str, Tensor]]:
    for module in modules.values():
        yield from module.named_parameters()


def idle_parameters(modules: dict[str, nn.Module], out: Tensor) -> list[str]:
    """Modules and parameters on which a result does not depend, by name. None if it depends on no parameter."""
    named = [(name, p) for name, p in _parameters(modules) if p.requires_grad]
    if not out.requires_grad or not named:
        return []
    found = torch.autograd.grad(out.sum(), [p for _, p in named], allow_unused=True, retain_graph=True)
    idle = {name for (name, _), g in zip(named, found) if g is None}
    if len(idle) == len(named):
        return []
    used = [name for name, _ in named if name not in idle]
    return list(dict.fromkeys(_whole(name, used) for name, _ in named if name in idle))


def _whole(name: str, used: list[str]) -> str:
    """The largest module around a parameter that has no used parameter, or the parameter itself."""
    parts = name.split(".")
    for i in range(1, len(parts)):
        path = ".".join(parts[:i])
        if not any(other.startswith(path + ".") for other in used):
            return path
    return name


def _noise(images: Callable[..., Tensor], equal: Tensor) -> tuple[float, float]:
    """Standard deviation of the image of one latent across samples, and across calls."""
    calls = torch.stack([images(equal, call) for call in range(3)])
    return _std(calls[0]), calls[:, 0].var(dim=0).mean().sqrt().item()


def _std(x: Tensor) -> float:
    return x.var(dim=0).mean().sqrt().item()


def _saturated(x: Tensor) -> float:
    bound = x.abs().max()
    return (x.abs() >= 0.99 * bound).float().mean().item() if 0.9 < bound <= 1.0001 else 0.0


def _fine(x: Tensor) -> float:
    """Share of the power of differences from the mean that is above half of the Nyquist frequency."""
    power = torch.fft.fft2(x - x.mean(dim=(2, 3), keepdim=True)).abs().square().mean(dim=(0, 1))
    fy, fx = (torch.fft.fftfreq(s, device=x.device).abs() for s in power.shape)
    high = torch.maximum(fy[:, None], fx[None]) > 0.25
    return float(power[high].sum() / power.sum().clamp_min(1e-30))
