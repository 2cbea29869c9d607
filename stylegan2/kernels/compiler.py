"""Compiles the sources in `csrc`: flags, the CUDA toolkit that fits PyTorch and the GPUs, errors in words."""

from __future__ import annotations

import contextlib
import logging
import os
import re
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
    """The kernels cannot be had: the message names the cause and the remedy."""


def compile(
    device: str, sources: Sequence[Path], architectures: Sequence[str], library: Path
) -> dict[str, Any]:
    """Compile sources into a library and load it.

    Args:
        device: cpu or cuda.
        sources: C++ or CUDA files.
        architectures: Of the GPUs ("9.0", ...).
        library: The file to make, in a folder of its own.

    Returns:
        What was used, and the seconds that it took.

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
            raise BuildError("there is no ninja. Install it: pip install ninja.")
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
    (made,) = library.parent.glob("*.so")  # torch numbers the libraries that a process builds
    made.rename(library)
    report = {
        "seconds": round(time.perf_counter() - started, 1),
        "torch": torch.__version__,
        "compiler": compiler,
        "flags": flags,
    }
    return report | ({"cuda": str(cuda_home())} if device == "cuda" else {})


def _message(device: str, output: str) -> str:
    lines = [line.strip() for line in output.splitlines() if re.search(r"\berror\b|fatal|not found", line)]
    return (
        f"compiling them failed: {(lines or [output.strip()])[0][:400]} "
        f"Mend the compiler (CXX{', CUDA_HOME' if device == 'cuda' else ''}); "
        "`stylegan2 doctor` shows what was found."
    )


@contextlib.contextmanager
def _environment(device: str) -> Iterator[Any]:
    """torch.utils.cpp_extension, quiet, with the real CUDA folder and this environment's ninja."""
    saved = {name: os.environ.get(name) for name in ("PATH", "CUDA_HOME")}
    logger = logging.getLogger("torch.utils.cpp_extension")
    level = logger.level
    logger.setLevel(logging.ERROR)
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    try:
        if device == "cuda":
            os.environ["CUDA_HOME"] = str(cuda_home())
        from torch.utils import cpp_extension

        before = cpp_extension.CUDA_HOME
        if device == "cuda":
            cpp_extension.CUDA_HOME = os.environ["CUDA_HOME"]
        try:
            yield cpp_extension
        finally:
            cpp_extension.CUDA_HOME = before
    finally:
        logger.setLevel(level)
        for name, value in saved.items():
            os.environ.pop(name, None) if value is None else os.environ.update({name: value})


def cuda_home() -> Path:
    """The CUDA toolkit's folder, also where the `nvcc` on the path is a link to the real one or a script."""
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
    """Code for exactly these GPUs; for a GPU newer than nvcc, its newest intermediate code."""
    nvcc = str(cuda_home() / "bin" / "nvcc")
    if torch.version.cuda is None:
        raise BuildError("this PyTorch was built without CUDA. Install one with CUDA.")
    wanted = torch.version.cuda.split(".")[0]
    release = re.search(r"release (\d+)\.(\d+)", _run(nvcc, "--version"))
    if release and release[1] != wanted:  # minor versions are compatible
        raise BuildError(
            f"nvcc is of CUDA {release[1]}.{release[2]}, PyTorch of CUDA {torch.version.cuda}. "
            f"Install the CUDA toolkit {wanted}, or set CUDA_HOME to it."
        )
    known = sorted(int(n) for n in set(re.findall(r"compute_(\d+)\b", _run(nvcc, "--list-gpu-arch"))))
    flags = []
    for number in (int(name.replace(".", "")) for name in architectures):
        if number in known or not known:
            flags.append(f"-gencode=arch=compute_{number},code=sm_{number}")
        elif number > known[-1]:
            flags.append(f"-gencode=arch=compute_{known[-1]},code=compute_{known[-1]}")
        else:
            raise BuildError(f"this nvcc has no architecture {number / 10}. Install an older CUDA toolkit.")
    return flags


def _run(*command: str) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.SubprocessError) as error:
        raise BuildError(f"cannot run {command[0]} ({error}). Set CUDA_HOME to a working toolkit.") from error
    return done.stdout + done.stderr
