"""Builds and loads the kernels in `csrc`, on first use: seconds once, then from a cache folder.

`STYLEGAN2_KERNELS` says what happens when that is impossible: `auto` (the default) warns once and leaves the
work to the PyTorch reference, `require` raises, `off` never tries. See docs/kernels.md.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
import threading
import warnings
from dataclasses import dataclass
from pathlib import Path

import torch

from stylegan2.errors import InputError

from . import allocation, cache, compiler, self_check
from .compiler import BuildError

SOURCES = Path(__file__).parent / "csrc"

_loaded: dict[str, bool] = {}
_mutex = threading.Lock()


@dataclass(frozen=True)
class Build:
    """One library: what it is made from, which decides its name."""

    device: str  # cpu or cuda
    sources: tuple[Path, ...]
    architectures: tuple[str, ...]  # of the GPUs
    name: str  # of its folder in the cache folder


def available(device: str) -> bool:
    """Whether there are kernels for a device type ("cpu", "cuda"); the first call builds and loads them."""
    if device not in _loaded:
        with _mutex:
            if device not in _loaded:
                _loaded[device] = _load(device)
    return _loaded[device]


# What torch.compiler.assume_constant_result does, without importing the compiler: called while tracing, not
# traced.
available._dynamo_marked_constant = True


def mode() -> str:
    """auto, require or off, from STYLEGAN2_KERNELS."""
    value = os.environ.get("STYLEGAN2_KERNELS", "auto") or "auto"
    if value not in ("auto", "require", "off"):
        raise InputError(
            f"STYLEGAN2_KERNELS must be auto, require or off, not {value!r}. "
            "Unset it to use the kernels where possible."
        )
    return value


def _load(device: str) -> bool:
    if mode() == "off" or device not in ("cpu", "cuda"):
        return False
    try:
        folder = build(plan(device))
        if device == "cuda":  # no test of ours has seen this very GPU, driver and compiler
            self_check.check(device, folder)
    except (BuildError, self_check.WrongResultError) as error:
        if mode() == "require":
            raise
        warnings.warn(
            f"Kernels for {device} are not in use, the slower PyTorch reference is: {error} "
            "(STYLEGAN2_KERNELS=off silences this.)",
            stacklevel=4,
        )
        return False
    if device == "cpu":
        allocation.keep()
    return True


def plan(device: str, architectures: tuple[str, ...] | None = None) -> Build:
    """What to build for a device type. `architectures` ("9.0", ...): None means the GPUs here.

    The compilers do not count, so that a library that was built is used where there are none.
    """
    suffix, made_for = (
        ".cpp",
        [platform.machine(), _processor()],
    )  # it holds instructions of this very processor
    if device == "cuda":
        if architectures is None:
            capabilities = {torch.cuda.get_device_capability(i) for i in range(torch.cuda.device_count())}
            architectures = tuple(f"{major}.{minor}" for major, minor in sorted(capabilities))
        suffix, made_for = ".cu", [str(torch.version.cuda), *architectures]
    state = hashlib.sha256()
    for part in [torch.__version__, *made_for, *compiler.FLAGS[device]]:
        state.update(f"{part}\0".encode())
    for path in sorted(SOURCES.iterdir()):
        if path.suffix in (".h", suffix):
            state.update(path.read_bytes())
    sources = tuple(sorted(SOURCES.glob(f"*{suffix}")))
    return Build(device, sources, architectures or (), f"{device}-{state.hexdigest()[:16]}")


def build(what: Build) -> Path:
    """Load the library, after building it unless it lies in the cache. Returns its folder.

    Raises:
        BuildError: It cannot be built or loaded.
    """
    folder = cache.find(what.name)  # first of all, so that a finished cache may be read-only
    if folder is None:
        folder, is_loaded = cache.make(what.name, lambda folder: _compile(what, folder))
        if is_loaded:
            return folder
    try:
        torch.ops.load_library(folder / cache.LIBRARY)
    except OSError as error:
        raise BuildError(f"cannot load {folder} ({error}). Delete this folder and try again.") from error
    return folder


def _compile(what: Build, folder: Path) -> dict:
    return compiler.compile(what.device, what.sources, what.architectures, folder / cache.LIBRARY)


def _processor() -> str:
    """The processor's instruction sets, on which -march=native depends."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith(("flags", "Features")):
                return line
    return platform.processor()
