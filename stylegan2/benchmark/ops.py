"""Timing of upfirdn2d, bias_act and the 3×3 convolution, at their shapes in the networks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from stylegan2 import ops
from stylegan2.kernels import library
from stylegan2.kernels.convolution import conv2d

from .timing import Row, medians


def bias_act_definition(
    x: Tensor,
    b: Tensor,
    act: str,
    alpha: float,
    gain: float,
    clamp: float,
    dim: int,
    scale: Tensor | None,
    noise: Tensor | None,
) -> Tensor:
    """What the bias_act kernel computes, in plain PyTorch: scale and noise, then bias and activation."""
    if scale is not None:
        x = x * scale.to(x.dtype)[:, :, None, None]
    if noise is not None:
        x = x + noise.to(x.dtype)
    return ops.bias_act.__wrapped__(x, b, act, alpha, gain, clamp, dim)


@dataclass(frozen=True)
class OpCase:
    """One op at one shape. `kernel` and `reference` take `leaves`, the tensors to differentiate with respect to."""

    name: str
    kernel: Callable[..., Tensor]
    reference: Callable[..., Tensor]
    leaves: tuple[Tensor, ...]
    flops: int = 0  # operations of a forward pass; 0 for ops that are bound by memory

    def forward(self, op: Callable[..., Tensor]) -> Callable[[], object]:
        leaves = [t.detach() for t in self.leaves]
        return lambda: op(*leaves)

    def forward_backward(self, op: Callable[..., Tensor]) -> Callable[[], object]:
        leaves = [t.detach().requires_grad_() for t in self.leaves]
        gradient = torch.ones_like(op(*leaves))
        return lambda: torch.autograd.grad(op(*leaves), leaves, gradient)


def op_cases(
    resolution: int,
    device: str = "cpu",
    dtype: torch.dtype = torch.float32,
    channels_last: bool = False,
    batch: int = 1,
) -> Iterator[OpCase]:
    """The ops as a config-f network uses them at one resolution, with min(32768 / resolution, 512) channels."""
    form = torch.channels_last if channels_last else torch.contiguous_format
    c, r = min(32768 // resolution, 512), resolution

    def images(channels: int, size: int) -> Tensor:
        return torch.randn(batch, channels, size, size, device=device).to(dtype, memory_format=form)

    f = ops.setup_filter([1, 3, 3, 1], device=device)
    for name, x, up, down, padding, gain in (
        ("after the up-convolution", images(c, r + 1), 1, 1, (1, 1, 1, 1), 4.0),
        ("before the down-convolution", images(c, r), 1, 1, (2, 2, 2, 2), 1.0),
        ("image up 2", images(3, r // 2), 2, 1, (2, 1, 2, 1), 4.0),
        ("features down 2", images(c, r), 1, 2, (1, 1, 1, 1), 1.0),
    ):
        args = (f, (up, up), (down, down), padding, False, gain)
        yield OpCase(
            f"upfirdn2d {name}",
            lambda x, args=args: library.upfirdn2d(x, *args),
            lambda x, args=args: ops.upfirdn2d.__wrapped__(x, *args),
            (x,),
        )

    b, scale = torch.randn(c, device=device), torch.rand(batch, c, device=device) + 0.5
    noise = torch.randn(r, r, device=device)

    def run(
        op: Callable[..., Tensor],
        x: Tensor,
        b: Tensor,
        scale: Tensor | None = None,
        noise: Tensor | None = None,
    ) -> Tensor:
        return op(x, b, "lrelu", 0.2, 2**0.5, 256.0, 1, scale, noise)

    kernel, definition = partial(run, library.bias_act), partial(run, bias_act_definition)
    yield OpCase("bias_act", kernel, definition, (images(c, r), b))
    yield OpCase("bias_act with scale and noise", kernel, definition, (images(c, r), b, scale, noise))

    if device == "cpu" and dtype == torch.float32:  # the one case in which this kernel is timed
        yield OpCase(
            "conv2d 3×3",
            lambda x, weight: conv2d(x, weight, padding=(1, 1)),
            lambda x, weight: F.conv2d(x, weight, padding=1),
            (images(c, r), (torch.randn(c, c, 3, 3) / (9 * c) ** 0.5).to(memory_format=torch.channels_last)),
            flops=2 * batch * (3 * c * r) ** 2,
        )


def bench_ops(
    resolution: int, device: str, dtype: torch.dtype, batch: int, repeats: int, copy: float
) -> list[Row]:
    """Time each op at its shapes in the networks, as a kernel and in plain PyTorch. `copy` is in GB/s."""
    rows = []
    for channels_last in (True, False):
        form = "channels last" if channels_last else "contiguous"
        for case in op_cases(resolution, device, dtype, channels_last, batch):
            for direction in ("forward", "forward_backward"):
                times = medians(
                    {name: getattr(case, direction)(getattr(case, name)) for name in ("reference", "kernel")},
                    device,
                    repeats,
                )
                moved = sum(t.numel() * t.element_size() for t in (case.leaves[0], case.kernel(*case.leaves)))
                for name, ms in times.items():
                    row = Row(
                        f"{case.name}, {direction.replace('_', '+')}, {form}",
                        resolution,
                        name,
                        ms,
                        times["reference"] / ms,
                    )
                    if case.flops:
                        row.gflop_per_s = case.flops * (1 if direction == "forward" else 3) / ms / 1e6
                    elif direction == "forward":
                        row.gb_per_s = moved / ms / 1e6
                        row.of_limit = row.gb_per_s / copy
                    rows.append(row)
    return rows
