"""Compiles the sources in `csrc` and finds the CUDA toolkit. Errors name the cause and what to do."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

COMMON_FLAGS = ("-DTORCH_TARGET_VERSION=0x020a000000000000",)  # the stable ABI as of torch 2.10
FLAGS = {
    "cpu": (*COMMON_FLAGS, "-O3", "-march=native", "-fno-math-errno", "-fno-trapping-math"),
    "cuda": (*COMMON_FLAGS, "-O3", "-DUSE_CUDA"),
}


class BuildError(RuntimeError):
    """The kernels cannot be built or loaded. The message names the cause and what to do."""


def compile(
    device: str, sources: Sequence[Path], architectures: Sequence[str], library: Path
) -> dict[str, Any]:
    """Compile sources into a library and load it.

    Args:
        device: cpu or cuda.
        sources: C++ or CUDA files.
        architectures: Compute capabilities of the GPUs ("9.0", ...).
        library: The file to create. Its folder holds nothing else.

    Returns:
        The seconds that it took, the compiler and the flags.

    Raises:
        BuildError: A compiler is missing or fails.
    """
    compiler, started = os.environ.get("CXX", "c++"), time.perf_counter()
    if shutil.which(compiler) is None:
        raise BuildError(
            f"there is no C++ compiler ({compiler!r}). Install g++ or clang++, or set CXX to your compiler."
        )
    flags = list(FLAGS[device])
    if device == "cuda":
        flags += architecture_flags(architectures)
    with _environment(device) as cpp_extension:
        if not cpp_extension.is_ninja_available():
            raise BuildError("there is no ninja. Install it with `pip install ninja`.")
        try:
            cpp_extension.load(
                f"stylegan2_{device}",
                [str(source) for source in sources],
                extra_cflags=flags if device == "cpu" else ["-O2"],
                extra_cuda_cflags=flags,
                build_directory=str(library.parent),
                is_python_module=False,
            )
        except (RuntimeError, OSError, ValueError, subprocess.SubprocessError) as error:
            raise BuildError(_message(device, str(error))) from error
    (made,) = library.parent.glob("*.so")  # PyTorch may add a number to the name
    made.rename(library)
    report = {
        "seconds": round(time.perf_counter() - started, 1),
        "torch": torch.__version__,
        "compiler": compiler,
        "flags": flags,
    }
    return report | ({"cuda": str(cuda_home())} if device == "cuda" else {})


def _message(device: str, output: str) -> str:
    lines = [
        line.strip()
        for line in output.splitlines()
        if re.search(r"\berror\b|fatal|not found|cannot find", line)
    ]
    return (
        f"compiling them failed: {(lines or [output.strip()])[0][:400]} "
        f"Repair the compiler, or set CXX{' or CUDA_HOME' if device == 'cuda' else ''} to another one. "
        "`stylegan2 doctor` shows what was found."
    )


@contextlib.contextmanager
def _environment(device: str) -> Iterator[Any]:
    """Yield torch.utils.cpp_extension with the real CUDA folder, this environment's ninja and no log."""
    saved = {name: os.environ.get(name) for name in ("PATH", "CUDA_HOME")}
    logger = logging.getLogger("torch.utils.cpp_extension")
    level = logger.level
    logger.setLevel(logging.ERROR)
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    try:
        if device == "cuda":
            os.environ["CUDA_HOME"] = str(cuda_home())
        from torch.utils import cpp_extension

        before = cpp_extension.CUDA_HOME, cpp_extension.TORCH_LIB_PATH
        if (
            os.name != "nt"
        ):  # PyTorch gives this folder to the shell unquoted, and its path may contain spaces
            cpp_extension.TORCH_LIB_PATH = shlex.quote(cpp_extension.TORCH_LIB_PATH)
        if device == "cuda":
            cpp_extension.CUDA_HOME = os.environ["CUDA_HOME"]
        try:
            yield cpp_extension
        finally:
            cpp_extension.CUDA_HOME, cpp_extension.TORCH_LIB_PATH = before
    finally:
        logger.setLevel(level)
        for name, value in saved.items():
            os.environ.pop(name, None) if value is None else os.environ.update({name: value})


def cuda_home() -> Path:
    """Find the folder of the CUDA toolkit, even if the `nvcc` on the path is a link or a script."""
    if home := os.environ.get("CUDA_HOME") or os.environ.get("CUDA_PATH"):
        nvcc = Path(home) / "bin" / "nvcc"
    else:
        nvcc = Path(shutil.which("nvcc") or "/usr/local/cuda/bin/nvcc")
    if not nvcc.exists():
        raise BuildError(
            f"there is no CUDA compiler ({nvcc}). Install the CUDA toolkit or set CUDA_HOME to its folder."
        )
    dry = _run(str(nvcc), "--dryrun", "-x", "cu", os.devnull)
    if top := re.search(r"^#\$ TOP=(.+)$", dry, re.MULTILINE):
        return Path(top[1]).resolve()
    return nvcc.resolve().parent.parent


def architecture_flags(architectures: Sequence[str]) -> list[str]:
    """Return the flags of nvcc for the given architectures.

    A GPU that is newer than nvcc gets nvcc's newest intermediate code (PTX).
    """
    nvcc = str(cuda_home() / "bin" / "nvcc")
    if torch.version.cuda is None:
        raise BuildError("this PyTorch was built without CUDA. Install a build with CUDA.")
    wanted = torch.version.cuda.split(".")[0]
    release = re.search(r"release (\d+)\.(\d+)", _run(nvcc, "--version"))
    if release and release[1] != wanted:  # minor versions are compatible
        raise BuildError(
            f"nvcc is of CUDA {release[1]}.{release[2]}, but PyTorch of CUDA {torch.version.cuda}. "
            f"Install the CUDA toolkit {wanted}, or set CUDA_HOME to its folder."
        )
    known = sorted(int(n) for n in set(re.findall(r"compute_(\d+)\b", _run(nvcc, "--list-gpu-arch"))))
    flags = []
    for number in (int(name.replace(".", "")) for name in architectures):
        if number in known or not known:
            flags.append(f"-gencode=arch=compute_{number},code=sm_{number}")
        elif number > known[-1]:
            flags.append(f"-gencode=arch=compute_{known[-1]},code=compute_{known[-1]}")
        else:
            raise BuildError(
                f"this nvcc does not support the GPU architecture {number / 10}. Install an older CUDA toolkit."
            )
    return flags


def _run(*command: str) -> str:
    try:
        done = subprocess.run(command, capture_output=True, encoding="utf-8", errors="replace", timeout=60)
    except (OSError, subprocess.SubprocessError) as error:
        raise BuildError(f"cannot run {command[0]} ({error}). Set CUDA_HOME to a working toolkit.") from error
    return done.stdout + done.stderr
