"""`probe_gan`: measure anybody's generator and discriminator, apply the rules, and print what was found."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from stylegan2.blackbox.discriminator import DiscriminatorNumbers, measure_discriminator, smooth_images
from stylegan2.blackbox.equivariance import Shift
from stylegan2.blackbox.generator import GeneratorNumbers, images_of, measure_generator
from stylegan2.blackbox.rules import discriminator_findings, generator_findings
from stylegan2.blackbox.tracing import modules_of
from stylegan2.errors import InputError
from stylegan2.files import text_table
from stylegan2.probing.findings import Finding

LISTS = ("layers", "activations", "sums", "filters", "upsampling", "shared_draws", "vanished")


@dataclass(frozen=True, kw_only=True)
class GANProbe:
    """The result of `probe_gan`: numbers of either network, and findings."""

    generator: GeneratorNumbers | None = None
    discriminator: DiscriminatorNumbers | None = None
    findings: list[Finding] = field(default_factory=list)

    @property
    def faults(self) -> list[Finding]:
        return [f for f in self.findings if f.fault]

    def to_dict(self) -> dict[str, Any]:
        """Plain data, for JSON."""
        return asdict(self)

    def __str__(self) -> str:
        parts = []
        for name, numbers in (("generator", self.generator), ("discriminator", self.discriminator)):
            if numbers is None:
                continue
            values = {k: v for k, v in vars(numbers).items() if k not in LISTS}
            parts.append(text_table([name, ""], [[k, _text(v)] for k, v in values.items()]))
            rows = [
                [
                    layer.place,
                    layer.op,
                    f"{layer.input_rms:.3g}",
                    f"{layer.output_rms:.3g}",
                    f"{layer.gain:.3g}",
                ]
                for layer in numbers.layers
            ]
            parts.append(text_table(["layer", "operation", "input rms", "output rms", "gain"], rows))
            if numbers.sums:
                rows = [
                    [s.place, *(f"{b:.3g}" for b in s.branches), f"{s.correlation:.2f}", f"{s.gain:.3g}"]
                    for s in numbers.sums
                ]
                parts.append(text_table(["sum", "rms a", "rms b", "correlation", "gain that keeps"], rows))
            if isinstance(numbers, GeneratorNumbers) and numbers.upsampling:
                rows = [[u.place, f"{u.gain:.3g}", f"{u.phases:.3g}"] for u in numbers.upsampling]
                parts.append(text_table(["constant features through", "gain", "checkerboard"], rows))
        found = [str(f) for f in self.findings] or ["No fault found."]
        return "\n\n".join([*parts, "\n".join(found)])


def probe_gan(
    generator: Callable[..., object] | None = None,
    discriminator: Callable[..., object] | None = None,
    sample_z: Callable[[int], Tensor] | int | None = None,
    *,
    reals: Tensor | None = None,
    image_size: tuple[int, int, int] | None = None,
    n: int = 8,
    seed: int = 0,
) -> GANProbe:
    """Probe anybody's GAN. The networks are only called, and are afterwards what they were before.

    Modules among them, or in the closure of a function, are also traced: the gain of every layer, activation,
    filter and sum of two feature maps is measured with its place in the source.

    Args:
        generator: Function of latents that returns images (N, C, H, W) in [-1, 1], alone or in a container.
        discriminator: Function of images that returns logits (N, ...), alone or in a container.
        sample_z: Function of a number N that returns latents (N, ...), or the width of latents ~ N(0, 1).
        reals: Real images (N, C, H, W) in [-1, 1] for the discriminator. None: smooth random images.
        image_size: (C, H, W) of the images for a discriminator alone.
        n: Images in a batch, a multiple of the group of the minibatch standard deviation.
        seed: Seed of everything random.

    Raises:
        InputError: Something that is needed is missing, or has another shape.
    """
    if generator is None and discriminator is None:
        raise InputError(
            "Expected a generator or a discriminator to probe, found neither. Give at least one."
        )
    findings: list[Finding] = []
    g = d = None
    if generator is not None:
        if sample_z is None:
            raise InputError(
                "Expected sample_z, found None. Give a function of N that returns latents, or their width."
            )
        sample = _sampler(sample_z, modules_of(generator))
        g = measure_generator(generator, sample, n, seed)
        findings += generator_findings(g)
        if image_size is None and reals is None and discriminator is not None:
            with torch.random.fork_rng(), torch.no_grad():
                _, *size = images_of(generator(sample(2))).shape
            image_size = (size[0], size[1], size[2])
    if discriminator is not None:
        if reals is None and image_size is None:
            raise InputError(
                "Expected images for the discriminator, found none. Give reals or image_size=(C, H, W)."
            )
        if reals is None and image_size is not None:
            place = _place(modules_of(discriminator))
            reals = smooth_images(n, image_size[0], image_size[1:], seed).to(**place)
        assert reals is not None
        d = measure_discriminator(discriminator, reals, seed)
        findings += discriminator_findings(d)
    return GANProbe(generator=g, discriminator=d, findings=findings)


def _sampler(
    sample_z: Callable[[int], Tensor] | int, modules: Mapping[str, nn.Module]
) -> Callable[[int], Tensor]:
    if not isinstance(sample_z, int):
        return sample_z
    width, place = sample_z, _place(modules)
    return lambda n: torch.randn(n, width).to(**place)


def _place(modules: Mapping[str, nn.Module]) -> dict[str, Any]:
    """Device and type of the first parameter."""
    for module in modules.values():
        for p in module.parameters():
            return {"device": p.device, "dtype": p.dtype}
    return {}


def _text(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.3g}"
    if isinstance(value, Shift):
        return f"{value.error:.3g} when the {value.side}×{value.side} map at {value.place} moves by a pixel"
    if value is None:
        return "not measured"
    if isinstance(value, list):
        return ", ".join(_text(v) for v in value)
    return str(value)
