"""What this machine offers, whether the kernels work, and how fast they are."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from stylegan2.ops import build, kernels, setup_filter
from stylegan2.ops.bias_act import bias_act_reference
from stylegan2.ops.upfirdn2d import upfirdn2d_reference

TOLERANCE = {torch.float32: 1e-5, torch.float16: 2e-2, torch.bfloat16: 1e-1}


@dataclass(frozen=True)
class OpCase:
    """One op at one shape: `kernel` and `reference` take `leaves`, the tensors to differentiate by."""

    name: str
    kernel: Callable[..., Tensor]
    reference: Callable[..., Tensor]
    leaves: tuple[Tensor, ...]

    def forward(self, op: Callable[..., Tensor]) -> Callable[[], object]:
        leaves = [t.detach() for t in self.leaves]
        return lambda: op(*leaves)

    def forward_backward(self, op: Callable[..., Tensor]) -> Callable[[], object]:
        leaves = [t.detach().requires_grad_() for t in self.leaves]
        cot = torch.ones_like(op(*leaves))
        return lambda: torch.autograd.grad(op(*leaves), leaves, cot)


def op_cases(
    resolution: int,
    device: str = "cpu",
    dtype: torch.dtype = torch.float32,
    channels_last: bool = False,
    batch: int = 1,
) -> Iterator[OpCase]:
    """Both ops as a config-f network uses them at one resolution: min(32768 / resolution, 512) channels."""
    form = torch.channels_last if channels_last else torch.contiguous_format
    c, r = min(32768 // resolution, 512), resolution

    def images(channels: int, size: int) -> Tensor:
        return torch.randn(batch, channels, size, size, device=device).to(dtype, memory_format=form)

    f = setup_filter([1, 3, 3, 1], device=device)
    for name, x, up, down, padding, gain in (
        ("after the up-convolution", images(c, r + 1), 1, 1, (1, 1, 1, 1), 4.0),
        ("before the down-convolution", images(c, r), 1, 1, (2, 2, 2, 2), 1.0),
        ("image up 2", images(3, r // 2), 2, 1, (2, 1, 2, 1), 4.0),
        ("features down 2", images(c, r), 1, 2, (1, 1, 1, 1), 1.0),
    ):
        args = (f, (up, up), (down, down), padding, False, gain)
        yield OpCase(
            f"upfirdn2d {name}",
            lambda x, args=args: kernels.upfirdn2d(x, *args),
            lambda x, args=args: upfirdn2d_reference(x, *args),
            (x,),
        )

    b, scale = torch.randn(c, device=device), torch.rand(batch, c, device=device) + 0.5
    noise = torch.randn(r, r, device=device)
    for name, leaves, order in (
        ("bias_act", (images(c, r), b), lambda x, b: (x, b, None, None)),
        ("bias_act with scale and noise", (images(c, r), b, scale, noise), lambda x, b, s, n: (x, b, s, n)),
    ):

        def run(op: Callable, *leaves: Tensor, order: Callable = order) -> Tensor:
            x, b, scale, noise = order(*leaves)
            return op(x, b, "lrelu", 0.2, 2**0.5, 256.0, 1, scale, noise)

        yield OpCase(
            name,
            lambda *leaves, run=run: run(kernels.bias_act, *leaves),
            lambda *leaves, run=run: run(bias_act_reference, *leaves),
            leaves,
        )


def milliseconds(run: Callable[[], object], device: str = "cpu", repeats: int = 7) -> float:
    """Median time of a call, after one to warm up."""
    times = []
    for _ in range(repeats + 1):
        started = time.perf_counter()
        run()
        if device == "cuda":
            torch.cuda.synchronize()
        times.append((time.perf_counter() - started) * 1e3)
    return sorted(times[1:])[repeats // 2]


def doctor() -> int:
    """Report torch, CUDA, the compiler and the kernels; check and time each kernel against the reference.

    Returns:
        0 after "ready"; 1 where something is missing or wrong, after what to do.
    """
    cuda = torch.version.cuda or "none"
    print(f"torch      {torch.__version__}, CUDA {cuda}, {torch.get_num_threads()} threads")
    compiler = os.environ.get("CXX", "c++")
    print(f"compiler   {_version(compiler) or 'none'}")
    print(f"nvcc       {_version('nvcc') or 'none'}")
    devices = ["cpu"]
    if torch.cuda.is_available():
        devices.append("cuda")
        for i in range(torch.cuda.device_count()):
            print(f"GPU {i}      {torch.cuda.get_device_name(i)}, {torch.cuda.get_device_capability(i)}")
    else:
        print("GPU        none that PyTorch can use")
    print(f"kernels    {build.mode()} (STYLEGAN2_KERNELS), cache {build.cache_folder()} (STYLEGAN2_CACHE)")
    if build.mode() == "off":
        print("\nKernels are switched off. Unset STYLEGAN2_KERNELS to use them.")
        return 1
    problems = [problem for device in devices for problem in _examine(device)]
    print("\n" + "\n".join(problems or ["ready"]))
    return int(bool(problems))


def _examine(device: str) -> list[str]:
    print(f"\n{device}")
    try:
        what = build.plan(device)
        built = what.library.exists()
        build.build(what)
        build._loaded[device] = True
    except build.BuildError as error:
        return [f"No kernels for {device}: {error}"]
    report = what.report()
    print(f"  {what.library}: {'found' if built else 'built now'}, build time {report['seconds']} s")
    print(f"  {'256 × 256, forward':50} {'error':>8} {'kernel ms':>9} {'PyTorch ms':>10} {'ratio':>6}")
    problems = []
    dtypes = (torch.float32, torch.bfloat16) if device == "cpu" else (torch.float32, torch.float16)
    for dtype in dtypes:
        small, large = op_cases(16, device, dtype), op_cases(256, device, dtype)
        for check, case in zip(small, large):
            error = _error(check)
            kernel = milliseconds(case.forward(case.kernel), device)
            reference = milliseconds(case.forward(case.reference), device)
            name = f"{case.name} {str(dtype)[6:]}"
            print(f"  {name:50.50} {error:8.1e} {kernel:9.2f} {reference:10.2f} {reference / kernel:6.1f}")
            if not error <= TOLERANCE[dtype]:
                problems.append(
                    f"{case.name} on {device} in {dtype} is {error:.1e} off. Run with STYLEGAN2_KERNELS=off."
                )
    return problems


def _error(case: OpCase) -> float:
    """The largest relative difference (in the 2-norm) of the value or a derivative from the reference's.

    In the norm, because rounding puts a few low-precision values on the other side of a kink.
    """
    results = []
    for op in (case.kernel, case.reference):
        leaves = [t.detach().requires_grad_() for t in case.leaves]
        y = op(*leaves)
        results.append([y, *torch.autograd.grad(y, leaves, torch.ones_like(y))])
    return max(float((a - b).detach().float().norm() / b.detach().float().norm()) for a, b in zip(*results))


def _version(program: str) -> str | None:
    path = shutil.which(program)
    if path is None:
        return None
    lines = subprocess.run([path, "--version"], capture_output=True, text=True).stdout.strip().splitlines()
    release = [line for line in lines if "release" in line] or lines[:1]
    return f"{' '.join(release)} ({path})"
