"""A generator whose synthesis network runs in another program. The mapping network stays in PyTorch."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from stylegan2.formats.onnx import exported
from stylegan2.formats.sampler import Sampler
from stylegan2.networks.generator import Generator
from stylegan2.networks.layers import Noise

from . import Precision, Run, Runtime

EXAMPLES = 3
"""Batch of the example inputs of an export. Other batches work as well."""


class _Synthesis(nn.Module):
    """The synthesis network as a function of tensors alone, in float32: ws and the noise of each layer -> images."""

    def __init__(self, sampler: Sampler):
        super().__init__()
        self.network = sampler.generator.synthesis
        self.names = [f"{name}.noise_const" for name in sampler.noise()]

    def forward(self, ws: Tensor, noise: tuple[Tensor, ...]) -> Tensor:
        stored = dict(zip(self.names, noise, strict=True))
        images: Tensor = torch.func.functional_call(self.network, stored, (ws, "const"))
        return images


class RuntimeSynthesis(nn.Module):
    """The synthesis network of a generator, computed by a runtime on the CPU in float32.

    It draws the same noise as the network itself. The stored noise has the same names there, such as
    b8.conv0.noise_const, and can be replaced. There are no derivatives.

    Shape: ws (N, num_ws, w_dim) -> (N, img_channels, H, W).

    Args:
        generator: The generator. It is not changed.
        program: What `synthesis_program` returns for it.
        runtime: What computes.
        threads: Number of CPU threads.
        precision: Type that the runtime computes in.
    """

    def __init__(
        self,
        generator: Generator,
        program: bytes,
        runtime: Runtime,
        threads: int,
        precision: Precision = "float32",
    ):
        super().__init__()
        self.num_ws = generator.num_ws
        self._layers: list[str] = []
        for name, value in generator.synthesis.named_buffers():
            *parts, last = name.split(".")
            if last != "noise_const":
                continue
            self._layers.append(".".join(parts))
            layer: nn.Module = self
            for part in parts:
                layer.add_module(part, layer._modules.get(part) or nn.Module())
                layer = layer.get_submodule(part)
            layer.register_buffer(last, value)
        self._run: Run = runtime.load(program, threads, precision)

    def forward(self, ws: Tensor, noise: Noise = "random") -> Tensor:
        """Map ws to images, as `SynthesisNetwork.forward` does."""
        inputs = {"ws": ws.float()}
        for name in self._layers:
            pixels = stored = self.get_buffer(f"{name}.noise_const")[None, None]
            if noise == "random":
                pixels = ws.new_empty(len(ws), *stored.shape[1:]).normal_()
            elif noise == "none":
                pixels = torch.zeros_like(stored)
            inputs[_input(name)] = pixels.float()
        arrays = {name: value.contiguous().numpy() for name, value in inputs.items()}
        return torch.from_numpy(self._run(arrays)).to(ws.dtype)


def with_runtime(
    generator: Generator, program: bytes, runtime: Runtime, threads: int, precision: Precision = "float32"
) -> Generator:
    """Return a generator that shares the mapping network and computes its images by a runtime.

    The arguments are those of `RuntimeSynthesis`.
    """
    served = copy.copy(generator)
    served._modules = dict(generator._modules)
    served._modules["synthesis"] = RuntimeSynthesis(generator, program, runtime, threads, precision)
    return served


def _input(layer: str) -> str:
    return f"noise_{layer.replace('.', '_')}"


def synthesis_program(generator: Generator) -> bytes:
    """The synthesis network as an ONNX model for any batch, in float32. The noise has a batch of its own."""
    sampler = Sampler(generator)
    g, stored = sampler.generator, sampler.noise()
    ws = torch.randn(EXAMPLES, g.num_ws, g.w_dim)
    noise = tuple(value.expand(EXAMPLES, -1, -1, -1) for value in stored.values())
    batch = {0: torch.export.Dim("batch", min=1, max=4096)}
    names = ["ws", *map(_input, stored)]
    model = exported(_Synthesis(sampler), (ws, noise), names, (batch, (batch,) * len(noise)))
    for entry in model.graph.input[1:]:
        entry.type.tensor_type.shape.dim[0].dim_param = "noise_batch"
    serialized: bytes = model.SerializeToString()
    return serialized
