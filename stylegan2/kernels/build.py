"""Builds the kernels in `csrc` on first use, and loads them. Later processes load them from a cache folder.

The environment variable `STYLEGAN2_KERNELS` says what happens if this fails. `auto` (the default) warns once
and uses the PyTorch reference, `require` raises an error, and `off` builds nothing. `STYLEGAN2_CACHE` sets
the cache folder, which is `~/.cache/stylegan2` by default. See docs/kernels.md.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

from stylegan2.errors import InputError

from . import allocation, self_check

SOURCES = Path(__file__).parent / "csrc"
LOCK_LIMIT = 600.0
"""How long a process waits for another one that is building the same library, in seconds."""

_CPU_FLAGS = ["-O3", "-march=native", "-fno-math-errno", "-fno-trapping-math"]
_COMMON_FLAGS = ["-DTORCH_TARGET_VERSION=0x020a000000000000"]  # the stable ABI as of torch 2.10
_loaded: dict[str, bool] = {}
_mutex = threading.Lock()


class BuildError(RuntimeError):
    """The kernels cannot be built or loaded. The message names the cause and what to do."""


@dataclass(frozen=True)
class Build:
    """What one library is built from. This determines its place in the cache folder."""

    device: str  # cpu or cuda
    sources: tuple[Path, ...]
    flags: tuple[str, ...]
    key: str

    @property
    def folder(self) -> Path:
        return cache_folder() / f"{self.device}-{self.key}"

    @property
    def library(self) -> Path:
        return self.folder / f"stylegan2_{self.device}.so"

    def report(self) -> dict | None:
        """Read how the library was built (seconds, compiler, flags). None if it is not built yet."""
        if not self.library.exists():
            return None
        return json.loads((self.folder / "report.json").read_text())


def available(device: str) -> bool:
    """Return whether there are kernels for a device type ("cpu", "cuda"). The first call builds and loads them.

    Raises:
        BuildError: They cannot be built or loaded, and STYLEGAN2_KERNELS is "require".
        WrongResultError: Their results are wrong, and STYLEGAN2_KERNELS is "require".
        InputError: STYLEGAN2_KERNELS has an unknown value.
    """
    if device not in _loaded:
        with _mutex:
            if device not in _loaded:
                _loaded[device] = _load(device)
    return _loaded[device]


# This does what torch.compiler.assume_constant_result does, without importing the compiler: while tracing,
# the function is called rather than traced.
available._dynamo_marked_constant = True


def mode() -> str:
    """Return "auto", "require" or "off" from the environment variable STYLEGAN2_KERNELS."""
    value = os.environ.get("STYLEGAN2_KERNELS", "auto") or "auto"
    if value not in ("auto", "require", "off"):
        raise InputError(
            f"Expected STYLEGAN2_KERNELS to be auto, require or off, found {value!r}. "
            "Unset it to use the kernels where possible."
        )
    return value


def cache_folder() -> Path:
    """Return the folder STYLEGAN2_CACHE, by default `stylegan2` in the user's cache folder."""
    if folder := os.environ.get("STYLEGAN2_CACHE"):
        return Path(folder).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "stylegan2"


def _load(device: str) -> bool:
    if mode() == "off" or device not in ("cpu", "cuda"):
        return False
    try:
        what = plan(device)
        build(what)
        if device == "cuda":  # our tests did not run with this combination of GPU, driver and compiler
            self_check.check(device, what.folder)
    except (BuildError, self_check.WrongResultError) as error:
        if mode() == "require":
            raise
        warnings.warn(
            f"The slower PyTorch reference is used instead of the kernels for {device}: {error} "
            "(STYLEGAN2_KERNELS=off turns this warning off.)",
            stacklevel=4,
        )
        return False
    if device == "cpu":
        allocation.keep_freed_memory()
    return True


def plan(device: str, architectures: tuple[str, ...] | None = None) -> Build:
    """Determine what to build for a device type.

    Args:
        device: "cpu" or "cuda".
        architectures: Compute capabilities ("9.0", ...). None means those of the GPUs of this machine.

    Raises:
        BuildError: There is no suitable compiler.
    """
    compiler = os.environ.get("CXX", "c++")
    if shutil.which(compiler) is None:
        raise BuildError(
            f"there is no C++ compiler ({compiler!r}). Install g++ or clang++, or set CXX to your compiler."
        )
    if device == "cpu":
        sources = tuple(sorted(SOURCES.glob("*.cpp")))
        flags = tuple(_CPU_FLAGS)
        host = [platform.machine(), _processor()]  # -march=native uses the instructions of this processor
    else:
        sources = tuple(sorted(SOURCES.glob("*.cu")))
        flags = ("-O3", "-DUSE_CUDA", *_architecture_flags(architectures))
        host = [torch.version.cuda, str(_cuda_home())]
    state = hashlib.sha256()
    for part in [torch.__version__, compiler, *host, *flags, *_COMMON_FLAGS]:
        state.update(f"{part}\0".encode())
    for path in sorted(SOURCES.iterdir()):
        if path.suffix in (".h", sources[0].suffix):
            state.update(path.read_bytes())
    return Build(device, sources, flags, state.hexdigest()[:16])


def build(what: Build) -> None:
    """Load the library, and build it before if it is not in the cache. Raises BuildError."""
    if (
        not what.library.exists()
    ):  # this comes first, so that the cache folder of a built library may be read-only
        try:
            what.folder.parent.mkdir(parents=True, exist_ok=True)
            with _lock(what.folder.with_suffix(".lock")):
                if not what.library.exists():
                    return _compile(what)
        except OSError as error:
            raise BuildError(
                f"cannot write the cache folder {cache_folder()} ({error.strerror or error}). "
                "Set STYLEGAN2_CACHE to a folder you can write."
            ) from error
    try:
        torch.ops.load_library(what.library)
    except OSError as error:
        raise BuildError(
            f"cannot load {what.library} ({error}). Delete {what.folder} and try again."
        ) from error


def _compile(what: Build) -> None:
    """Compile and load in a temporary folder, and then rename it, so that a killed build does no harm."""
    for stale in what.folder.parent.glob(f".{what.folder.name}-*"):
        shutil.rmtree(stale, ignore_errors=True)
    folder = Path(tempfile.mkdtemp(prefix=f".{what.folder.name}-", dir=what.folder.parent))
    try:
        started = time.perf_counter()
        flags = [*what.flags, *_COMMON_FLAGS]
        with _build_environment(what.device) as cpp_extension:
            if not cpp_extension.is_ninja_available():
                raise BuildError("there is no ninja. Install it with `pip install ninja`.")
            try:
                cpp_extension.load(  # this also loads the library
                    f"stylegan2_{what.device}",
                    [str(source) for source in what.sources],
                    extra_cflags=flags if what.device == "cpu" else ["-O2"],
                    extra_cuda_cflags=flags,
                    build_directory=str(folder),
                    is_python_module=False,
                )
            except (RuntimeError, OSError, ValueError, subprocess.SubprocessError) as error:
                raise BuildError(_compiler_message(what, str(error))) from error
        report = {
            "seconds": round(time.perf_counter() - started, 1),
            "torch": torch.__version__,
            "compiler": os.environ.get("CXX", "c++"),
            "flags": flags,
        }
        if what.device == "cuda":
            report["cuda"] = str(_cuda_home())
        (made,) = folder.glob("*.so")  # PyTorch may add a number to the name
        made.rename(folder / what.library.name)
        (folder / "report.json").write_text(json.dumps(report, indent=1))
        os.rename(folder, what.folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)  # after success it has been renamed


def _compiler_message(what: Build, output: str) -> str:
    lines = [line.strip() for line in output.splitlines() if re.search(r"\berror\b|fatal|not found", line)]
    return (
        f"compiling them failed: {(lines or [output.strip()])[0][:400]} "
        f"Repair the compiler, or set CXX{' or CUDA_HOME' if what.device == 'cuda' else ''} to another one. "
        "`stylegan2 doctor` shows what was found."
    )


@contextlib.contextmanager
def _lock(path: Path) -> Iterator[None]:
    """Hold a file lock, which the operating system releases when the process ends in any way."""
    try:
        import fcntl
    except ImportError as error:
        raise BuildError("they can be built only on Linux and macOS. Set STYLEGAN2_KERNELS=off.") from error
    deadline = time.monotonic() + LOCK_LIMIT
    with open(path, "w") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise BuildError(
                        f"another process has held {path} for {LOCK_LIMIT:.0f} s. Stop it and try again."
                    ) from None
                time.sleep(0.1)
        yield


@contextlib.contextmanager
def _build_environment(device: str) -> Iterator:
    """Yield torch.utils.cpp_extension with the real CUDA folder, this environment's ninja and no log."""
    saved = {name: os.environ.get(name) for name in ("PATH", "CUDA_HOME")}
    logger = logging.getLogger("torch.utils.cpp_extension")
    level = logger.level
    logger.setLevel(logging.ERROR)
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    try:
        if device == "cuda":
            os.environ["CUDA_HOME"] = str(_cuda_home())
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


def _processor() -> str:
    """Return the list of the processor's instruction sets, on which -march=native depends."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith(("flags", "Features")):
                return line
    return platform.processor()


def _cuda_home() -> Path:
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


def _architecture_flags(architectures: tuple[str, ...] | None) -> list[str]:
    """Return the flags of nvcc for the given architectures, by default those of the GPUs of this machine.

    A GPU that is newer than nvcc gets nvcc's newest intermediate code (PTX).
    """
    nvcc = str(_cuda_home() / "bin" / "nvcc")
    if torch.version.cuda is None:
        raise BuildError("this PyTorch was built without CUDA. Install a build with CUDA.")
    wanted = torch.version.cuda.split(".")[0]
    release = re.search(r"release (\d+)\.(\d+)", _run(nvcc, "--version"))
    if release and release[1] != wanted:  # minor versions are compatible
        raise BuildError(
            f"nvcc is of CUDA {release[1]}.{release[2]}, but PyTorch of CUDA {torch.version.cuda}. "
            f"Install the CUDA toolkit {wanted}, or set CUDA_HOME to its folder."
        )
    if architectures is None:
        capabilities = {torch.cuda.get_device_capability(i) for i in range(torch.cuda.device_count())}
        architectures = tuple(f"{major}.{minor}" for major, minor in sorted(capabilities))
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
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.SubprocessError) as error:
        raise BuildError(f"cannot run {command[0]} ({error}). Set CUDA_HOME to a working toolkit.") from error
    return done.stdout + done.stderr
