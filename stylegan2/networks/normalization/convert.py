"""Replacing normalizations in any network, such as those of torchvision."""

from __future__ import annotations

import inspect
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from stylegan2.errors import InputError

from .base import changes_features, check_options, definition, normalizations

N = TypeVar("N", bound=nn.Module)

FOREIGN: dict[str, tuple[type[nn.Module], ...]] = {
    "batch": (nn.BatchNorm2d,),
    "sync_batch": (nn.SyncBatchNorm,),
    "group": (nn.GroupNorm,),
    "instance": (nn.InstanceNorm2d,),
    "local_response": (nn.LocalResponseNorm,),
}
"""Classes of `torch.nn` that a name stands for, beside this package's own."""


def convert_normalization(module: N, *, from_: str, to: str, **options: Any) -> N:
    """Replace every normalization of one kind in a network by another one, in place.

    The new modules keep ε, momentum, the scale and the shift of each channel where they have such parameters, and the
    device, the type and the mode. Running statistics of batch normalization pass to kinds with the same ones.

    Args:
        module: Any network.
        from_: Name of the kind to replace, such as "batch", or "group" for `torch.nn.GroupNorm`.
        to: Name of the new kind, one for features without a condition.
        **options: Options of the new kind, such as groups=8.

    Returns:
        The network, or the new module if the network itself is of that kind.

    Raises:
        InputError: A name is unknown, or the kind acts on weights or needs a condition or a reference of its own.
    """
    for name in (from_, to):
        kind = normalizations[name]
        if not changes_features(kind) or kind.conditional or kind.reads_input:
            why = "needs a condition" if kind.conditional else "does not act on features alone"
            raise InputError(
                f"Expected a normalization of features that stands alone, found {name}, which {why}. Choose another "
                "one, or parametrize the weights with torch.nn.utils.parametrize."
            )
    check_options(to, options)
    old = (*FOREIGN.get(from_, ()), definition(normalizations[from_]))
    return _converted(module, old, definition(normalizations[to]), options)


def _converted(
    module: N, old: tuple[type[nn.Module], ...], new: type[nn.Module], options: dict[str, Any]
) -> N:
    if type(module) in old:
        return _replacement(module, new, options)  # type: ignore[return-value]
    for name, child in module.named_children():
        setattr(module, name, _converted(child, old, new, options))
    return module


def _replacement(old: nn.Module, new: type[nn.Module], options: dict[str, Any]) -> nn.Module:
    known = inspect.signature(new).parameters
    kept = {name: getattr(old, name, None) for name in ("eps", "momentum") if name in known}
    kept = {name: value for name, value in kept.items() if value is not None}
    replacement = new(_channels(old), **kept | options)
    tensors: dict[str, Tensor] = {**dict(replacement.named_parameters()), **dict(replacement.named_buffers())}
    tensors |= {name.removeprefix("moments."): tensor for name, tensor in tensors.items()}
    with torch.no_grad():
        for name in ("weight", "bias", "running_mean", "running_var"):
            theirs, ours = getattr(old, name, None), tensors.get(name)
            if isinstance(theirs, Tensor) and ours is not None and ours.shape == theirs.shape:
                ours.copy_(theirs)
    for tensor in old.parameters():
        replacement.to(device=tensor.device, dtype=tensor.dtype)
        break
    return replacement.train(old.training)


def _channels(module: nn.Module) -> int:
    for name in ("num_features", "num_channels"):
        if isinstance(count := getattr(module, name, None), int):
            return count
    for tensor in (*module.parameters(), *module.buffers()):
        if tensor.ndim == 1:
            return len(tensor)
    raise InputError(
        f"Expected a normalization that knows its number of channels, found {type(module).__name__}. Replace it by "
        "hand."
    )
