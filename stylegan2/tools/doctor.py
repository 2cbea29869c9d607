"""`stylegan2 doctor`: shows what this machine offers, and checks and times the kernels."""

from __future__ import annotations

import os
import shutil
import subprocess

import torch

from stylegan2.benchmark.ops import OpCase, op_cases
from stylegan2.benchmark.timing import medians
from stylegan2.kernels import build, cache
from stylegan2.kernels.compiler import BuildError

TOLERANCE = {torch.float32: 1e-5, torch.float16: 2e-2, torch.bfloat16: 1e-1}


def doctor() -> int:
    """Report torch, CUDA, the compiler and the kernels, and check and time each kernel against PyTorch.

    Returns:
        The exit status: 0 if everything works, 1 if something is missing or wrong. The report says what to do.
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
    print(f"kernels    {build.mode()} (STYLEGAN2_KERNELS), cache {cache.folders()[0]} (STYLEGAN2_CACHE)")
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
        is_built = cache.find(what.name) is not None
        folder = build.build(what)
        build._loaded[device] = True
    except BuildError as error:
        return [f"No kernels for {device}: {error}"]
    seconds = cache.report(folder)["seconds"]
    print(f"  {folder}: {'found' if is_built else 'built now'}, build time {seconds} s")
    print(f"  {'256 × 256, forward':50} {'error':>8} {'kernel ms':>9} {'PyTorch ms':>10} {'ratio':>6}")
    problems = []
    dtypes = (torch.float32, torch.bfloat16) if device == "cpu" else (torch.float32, torch.float16)
    for dtype in dtypes:
        small, large = op_cases(32, device, dtype), op_cases(256, device, dtype)
        for check, case in zip(small, large):
            largest = _error(check)
            ways = {name: case.forward(getattr(case, name)) for name in ("kernel", "reference")}
            kernel, reference = medians(ways, device, repeats=7).values()
            name = f"{case.name} {str(dtype)[6:]}"
            print(f"  {name:50.50} {largest:8.1e} {kernel:9.2f} {reference:10.2f} {reference / kernel:6.1f}")
            if not largest <= TOLERANCE[dtype]:
                problems.append(
                    f"{case.name} on {device} in {dtype} has an error of {largest:.1e}, expected at most "
                    f"{TOLERANCE[dtype]:.0e}. Run with STYLEGAN2_KERNELS=off."
                )
    return problems


def _error(case: OpCase) -> float:
    """The largest relative error, in the 2-norm, of the output and its derivatives, compared with the reference.

    Single values are not compared, because rounding in low precision can move a few of them across the kink
    of the activation.
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
    done = subprocess.run([path, "--version"], capture_output=True, encoding="utf-8", errors="replace")
    lines = done.stdout.strip().splitlines()
    release = [line for line in lines if "release" in line] or lines[:1]
    return f"{' '.join(release)} ({path})"
