"""A comparison of the compiled kernels with their definitions, at the first use on a device.

It takes milliseconds. A file next to the library records for which GPUs and drivers the check has passed.
"""

from __future__ import annotations

import contextlib
import json
import platform
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from stylegan2 import ops
from stylegan2.files import write_text

from . import library

TOLERANCE = {torch.float32: 1e-5, torch.float16: 2e-2}
"""Largest relative difference in the 2-norm. A norm of the whole tensor tolerates single large differences,
where rounding changes which piece of a piecewise linear activation applies."""


class WrongResultError(RuntimeError):
    """A kernel fails, or its result differs from its definition. The message says what to report to us."""


def check(device: str, folder: Path) -> None:
    """Compare the kernels with their definitions on every device of a type, unless this was done before.

    Args:
        device: "cpu" or "cuda".
        folder: Folder of the library. The record checked.json is written to it if possible.

    Raises:
        WrongResultError: A kernel does not launch, or its results are wrong.
    """
    count = torch.cuda.device_count() if device == "cuda" else 1
    record = folder / "checked.json"
    try:
        done = set(json.loads(record.read_text(encoding="utf-8")))
    except (OSError, ValueError):
        done = set()
    names = [_name(device, i) for i in range(count)]
    for i, name in enumerate(names):
        if name not in done:
            _check_device(torch.device(device, i) if device == "cuda" else torch.device(device), name)
    if not done.issuperset(names):
        with contextlib.suppress(OSError):  # if the cache is read-only, the next process checks again
            write_text(record, json.dumps(sorted(done.union(names))))


def _name(device: str, index: int) -> str:
    """The name of the hardware and driver for which a check is valid."""
    if device != "cuda":
        return platform.processor() or "cpu"
    major, minor = torch.cuda.get_device_capability(index)
    driver = getattr(torch._C, "_cuda_getDriverVersion", lambda: "unknown")()
    return f"{torch.cuda.get_device_name(index)}, {major}.{minor}, driver {driver}"


def _check_device(device: torch.device, name: str) -> None:
    for dtype, tolerance in TOLERANCE.items():
        for what, kernel, definition, leaves in _cases(device, dtype):
            try:
                found = _value_and_gradients(kernel, leaves)
            except RuntimeError as error:
                raise WrongResultError(_message(what, dtype, name, f"failed ({error})")) from error
            for ours, theirs in zip(found, _value_and_gradients(definition, leaves)):
                distance = float((ours - theirs).norm() / theirs.norm().clamp_min(1e-30))
                if not distance <= tolerance:
                    raise WrongResultError(_message(what, dtype, name, f"is {distance:.1e} off"))


def _message(what: str, dtype: torch.dtype, name: str, found: str) -> str:
    return (
        f"{what} in {str(dtype)[6:]} {found} on {name}. Please report this line with torch "
        f"{torch.__version__}, CUDA {torch.version.cuda} and the output of `stylegan2 doctor`."
    )


Case = tuple[str, Callable[..., Tensor], Callable[..., Tensor], tuple[Tensor, ...]]


def _cases(device: torch.device, dtype: torch.dtype) -> Iterator[Case]:
    """Yield (name, kernel, definition, inputs) for each kind of kernel, in both memory formats."""
    random = torch.Generator().manual_seed(0)

    def draw(*shape: int) -> Tensor:
        return torch.randn(shape, generator=random).to(device)

    f = ops.setup_filter([1, 3, 3, 1], device=device)
    for form in (torch.contiguous_format, torch.channels_last):
        x = draw(2, 8, 12, 10).to(dtype, memory_format=form)
        for up, down, padding in ((1, 1, (1, 1, 1, 1)), (2, 1, (2, 1, 2, 1)), (1, 2, (1, 1, 1, 1))):
            args: tuple[Any, ...] = (f, (up, up), (down, down), padding, False, 2.0)
            yield (
                f"upfirdn2d up {up} down {down}",
                lambda x, args=args: library.upfirdn2d(x, *args),
                lambda x, args=args: ops.upfirdn2d.__wrapped__(x, *args),
                (x,),
            )
        yield (
            "bias_act with scale and noise",
            lambda x, b, s, n: library.bias_act(x, b, "lrelu", 0.2, 1.4, 1.0, 1, s, n),
            lambda x, b, s, n: ops.bias_act.__wrapped__(
                x * s.to(x.dtype)[:, :, None, None] + n.to(x.dtype), b, "lrelu", 0.2, 1.4, 1.0
            ),
            (x, draw(8), draw(2, 8), draw(12, 10)),
        )
        for act in library.ACTS:
            args = (act, ops.activations[act].alpha, 1.0, None, 1)
            yield (
                f"bias_act {act}",
                lambda x, b, args=args: library.bias_act(x, b, *args),
                lambda x, b, args=args: ops.bias_act.__wrapped__(x, b, *args),
                (x, draw(8)),
            )


def _value_and_gradients(op: Callable[..., Tensor], leaves: tuple[Tensor, ...]) -> list[Tensor]:
    inputs = [leaf.detach().requires_grad_() for leaf in leaves]
    with torch.enable_grad():
        y = op(*inputs)
        gradients = torch.autograd.grad(y.square().sum(), inputs)
    return [t.detach().double().cpu() for t in (y, *gradients)]
