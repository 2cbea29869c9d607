"""Builds the kernels in `csrc` on first use, and loads them. Later processes load them from a cache folder.

The environment variable `STYLEGAN2_KERNELS` says what happens if this fails. `auto` (the default) warns once
and uses the PyTorch reference, `require` raises an error, and `off` builds nothing. See docs/kernels.md.
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
from typing import Any

import torch

from stylegan2.errors import InputError

from . import allocation, cache, compiler, self_check
from .compiler import BuildError

SOURCES = Path(__file__).parent / "csrc"

_loaded: dict[str, bool] = {}
_mutex = threading.Lock()


@dataclass(frozen=True)
class Build:
    """What one library is built from. This determines its name."""

    device: str  # cpu or cuda
    sources: tuple[Path, ...]
    architectures: tuple[str, ...]  # compute capabilities of the GPUs ("9.0", ...)
    name: str  # name of its folder in the cache folder


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
vars(available)["_dynamo_marked_constant"] = True


def mode() -> str:
    """Return "auto", "require" or "off" from the environment variable STYLEGAN2_KERNELS."""
    value = os.environ.get("STYLEGAN2_KERNELS", "auto") or "auto"
    if value not in ("auto", "require", "off"):
        raise InputError(
            f"Expected STYLEGAN2_KERNELS to be auto, require or off, found {value!r}. "
            "Unset it to use the kernels where possible."
        )
    return value


def _load(device: str) -> bool:
    if mode() == "off" or device not in ("cpu", "cuda"):
        return False
    try:
        folder = build(plan(device))
        if device == "cuda":  # our tests did not run with this combination of GPU, driver and compiler
            self_check.check(device, folder)
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

    The compilers do not matter, so that a library that was built is also used where there are none.

    Args:
        device: "cpu" or "cuda".
        architectures: Compute capabilities ("9.0", ...). None means those of the GPUs of this machine.
    """
    suffix, target = ".cpp", [platform.machine(), _processor()]  # for -march=native
    if device == "cuda":
        if architectures is None:
            capabilities = {torch.cuda.get_device_capability(i) for i in range(torch.cuda.device_count())}
            architectures = tuple(f"{major}.{minor}" for major, minor in sorted(capabilities))
        suffix, target = ".cu", [str(torch.version.cuda), *architectures]
    state = hashlib.sha256()
    for part in [torch.__version__, *target, *compiler.FLAGS[device]]:
        state.update(f"{part}\0".encode())
    for path in sorted(SOURCES.iterdir()):
        if path.suffix in (".h", suffix):
            state.update(path.read_bytes())
    sources = tuple(sorted(SOURCES.glob(f"*{suffix}")))
    return Build(device, sources, architectures or (), f"{device}-{state.hexdigest()[:16]}")


def build(what: Build) -> Path:
    """Load the library, and build it before if it is not in the cache.

    Returns:
        The folder of the library.

    Raises:
        BuildError: The library cannot be built or loaded.
    """
    folder = cache.find(what.name)  # this comes first, so that the cache folder may be read-only
    if folder is None:
        folder, is_loaded = cache.make(what.name, lambda folder: _compile(what, folder))
        if is_loaded:
            return folder
    try:
        torch.ops.load_library(folder / cache.LIBRARY)
    except OSError as error:
        raise BuildError(f"cannot load {folder} ({error}). Delete this folder and try again.") from error
    return folder


def _compile(what: Build, folder: Path) -> dict[str, Any]:
    return compiler.compile(what.device, what.sources, what.architectures, folder / cache.LIBRARY)


def _processor() -> str:
    """Return the list of the processor's instruction sets, on which -march=native depends."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith(("flags", "Features")):
                return line
    return platform.processor()
