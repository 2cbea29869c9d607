"""Programs that compute the synthesis network in PyTorch's place, each one registered object of class `Runtime`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Literal

import numpy as np
import numpy.typing as npt

from stylegan2.errors import InputError
from stylegan2.registry import Registry

Array = npt.NDArray[np.float32]
Run = Callable[[dict[str, Array]], Array]
"""Computes images from the inputs of a program by name: ws, and the noise of each layer."""

Precision = Literal["float32", "bfloat16"]


@dataclass(frozen=True, kw_only=True)
class Runtime:
    """One program that runs ONNX models on the CPU."""

    about: str
    """What it is called in messages."""

    packages: tuple[str, ...]
    """The packages that it needs, as they are imported. The extra of its name installs them."""

    load: Callable[[bytes, int, Precision], Run]
    """Prepares an ONNX model for so many threads. It raises `InputError` for a precision that it does not have."""

    def missing(self) -> list[str]:
        """The packages that are not installed."""
        return [name for name in self.packages if find_spec(name) is None]


runtimes: Registry[Runtime] = Registry("runtime", __name__)


def require(name: str) -> Runtime:
    """Return the runtime of this name.

    Raises:
        InputError: There is no such runtime, or it is not installed.
    """
    runtime = runtimes[name]
    if missing := runtime.missing():
        raise InputError(
            f"--runtime {name} expects the packages of {runtime.about}, found that {', '.join(missing)} is not "
            f'installed. Install them: pip install "stylegan2[{EXTRAS.get(name, name)}]". Or use --runtime torch.'
        )
    return runtime


EXTRAS = {"onnxruntime": "onnx"}
"""Names of extras in pyproject.toml that differ from the name of the runtime."""
