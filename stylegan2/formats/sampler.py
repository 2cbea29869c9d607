"""A generator as a function of arrays alone, for programs that run without this package."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

import torch
from torch import Tensor, nn

from stylegan2.networks.generator import Generator

from .building import with_weights

EXAMPLES = 3
"""Batch of the example inputs. Other batches work as well."""


class Sampler(nn.Module):
    """images = synthesis(w_avg + psi · (mapping(z, c) - w_avg), noise), in float32.

    Args:
        generator: Its low-precision blocks compute in float32 here.

    Shape: z (N, z_dim), psi (), c (N, num_classes) if there are labels, noise (1 or N, 1, R, R) for each layer, or
    none for the stored noise -> (N, img_channels, R, R).
    """

    def __init__(self, generator: Generator):
        super().__init__()
        config = replace(generator.config, low_precision_blocks=0)
        weights = {name: value.float() for name, value in generator.state_dict().items()}
        self.generator = with_weights(Generator, config, generator.scalings, weights)
        self.generator.eval().requires_grad_(False)

    @property
    def inputs(self) -> list[str]:
        """Names of the inputs without the noise."""
        return ["z", "psi", "c"] if self.generator.num_classes else ["z", "psi"]

    def noise(self) -> dict[str, Tensor]:
        """The stored noise of each layer, (1, 1, R, R), by the layer's name, such as b8.conv0."""
        suffix = ".noise_const"
        buffers = self.generator.synthesis.named_buffers()
        return {
            name[: -len(suffix)]: value[None, None].contiguous()
            for name, value in buffers
            if name.endswith(suffix)
        }

    def examples(self) -> list[Tensor]:
        """Example inputs without the noise."""
        g = self.generator
        labels = torch.eye(max(g.num_classes, 1))[torch.arange(EXAMPLES) % max(g.num_classes, 1)]
        examples = [torch.randn(EXAMPLES, g.z_dim), torch.tensor(0.7), labels]
        return examples[: len(self.inputs)]

    def dynamic_shapes(self, noise: int = 0) -> tuple[Any, ...]:
        """For `torch.export`: every input but psi has the batch as its first dimension.

        Args:
            noise: Number of noise inputs.
        """
        batch = {0: torch.export.Dim("batch", min=1, max=4096)}
        rest = (batch,) * (len(self.inputs) - 2 + noise)
        return (batch, None, rest) if rest else (batch, None)

    def forward(self, z: Tensor, psi: Tensor, *rest: Tensor) -> Tensor:
        g, noise = self.generator, list(rest)
        c = noise.pop(0) if g.num_classes else None
        ws = g.mapping.w_avg.lerp(g.mapping(z, c), psi)
        if not noise:
            return cast(Tensor, g.synthesis(ws, noise="const"))
        stored: dict[str, Any] = {
            f"{name}.noise_const": value for name, value in zip(self.noise(), noise, strict=True)
        }
        return cast(Tensor, torch.func.functional_call(g.synthesis, stored, (ws, "const")))


def lost(generator: Generator) -> list[str]:
    """Sentences about what a sampler does not hold."""
    sentences = ["The file generates images. It has no discriminator, and training cannot go on from it."]
    if generator.config.low_precision_blocks:
        sentences.append("All blocks compute in float32, and those of low precision without their clamp.")
    return sentences
