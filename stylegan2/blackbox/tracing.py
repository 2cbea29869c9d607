"""The operations of anybody's network while it runs: what they compute from what, where, and how large.

A `TorchFunctionMode` sees every call of a PyTorch function from Python. Each result becomes a node that knows the
nodes it was computed from. No knowledge of the network's classes is needed.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from stylegan2.probing.measure.recording import rms
from stylegan2.probing.measure.values import all_tensors

SUMS = {"add", "add_", "__add__", "__iadd__", "__radd__", "sub", "__sub__"}
PRODUCTS = {"mul", "mul_", "__mul__", "__imul__", "__rmul__", "div", "div_", "__truediv__", "__itruediv__"}
LAYERS = {"conv2d", "conv_transpose2d", "linear", "addmm", "matmul", "__matmul__", "bmm", "conv1d", "conv3d"}
ACTIVATIONS = {"leaky_relu", "relu", "relu_", "leaky_relu_", "gelu", "silu", "elu", "selu", "prelu"}
NORMALIZATIONS = {"batch_norm", "instance_norm", "layer_norm", "group_norm", "rms_norm"}
DRAWS = {"randn", "randn_like", "normal_", "normal", "rand", "rand_like", "new_empty"}
TORCH = os.path.dirname(torch.__file__)
HERE = os.path.dirname(os.path.abspath(__file__))


@dataclass(eq=False)
class Node:
    """The result of one operation."""

    op: str
    out: Tensor
    inputs: list[Node] = field(default_factory=list)
    tensors: list[Tensor] = field(default_factory=list)
    """The tensor arguments, in order. Some are no results of operations: parameters, buffers and inputs."""
    call: int = -1
    """The number of the call among all calls of PyTorch functions."""
    scalar: float | None = None
    """The other factor or summand, if it is a number."""
    place: str = ""
    kwargs: dict[str, Any] = field(default_factory=dict)
    size: float = 0.0
    """rms of the result, taken at once, because the tensor may be overwritten."""
    input_sizes: list[float] = field(default_factory=list)
    power: float | None = None
    """Mean product of the two summands of a sum, over the product of their rms: their correlation about 0."""
    users: list[Node] = field(default_factory=list)


class Trace(TorchFunctionMode):
    """Records the operations inside the block, with the path of the module that called them."""

    def __init__(self, modules: dict[str, nn.Module] | None = None):
        super().__init__()
        self.modules = modules or {}
        self.nodes: list[Node] = []
        self.calls = 0
        self._of: dict[int, Node] = {}
        self._path: list[str] = []
        self._hooks = ExitStack()

    def __enter__(self) -> Trace:
        for prefix, module in self.modules.items():
            for name, inner in module.named_modules():
                path = ".".join(part for part in (prefix, name) if part)
                if isinstance(inner, torch.jit.ScriptModule):
                    continue
                self._hooks.callback(inner.register_forward_pre_hook(self._entering(path)).remove)
                self._hooks.callback(inner.register_forward_hook(self._leaving, always_call=True).remove)
        super().__enter__()  # type: ignore[no-untyped-call]
        return self

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)  # type: ignore[no-untyped-call]
        self._hooks.close()

    def _entering(self, path: str) -> Callable[..., None]:
        return lambda module, args: self._path.append(path)

    def _leaving(self, module: nn.Module, args: Any, out: Any) -> None:
        self._path.pop()

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        call, self.calls = self.calls, self.calls + 1
        kwargs = kwargs or {}
        name = getattr(func, "__name__", str(func))
        tensors = (
            [t for t in all_tensors((args, kwargs)) if t.is_floating_point()] if name != "__get__" else []
        )
        sizes, power = [], None
        if name in SUMS | LAYERS | ACTIVATIONS and tensors:
            sizes = [rms(t) for t in tensors]
            if name in SUMS and len(tensors) == 2 and tensors[0].shape == tensors[1].shape:
                a, b = (t.detach().float() for t in tensors)
                power = float((a * b).mean()) / max(sizes[0] * sizes[1], 1e-30)
        inputs = [self._of[id(t)] for t in tensors if id(t) in self._of]
        result = func(*args, **kwargs)
        if name == "__get__":
            if (
                isinstance(result, Tensor)
                and args
                and isinstance(args[0], Tensor)
                and id(args[0]) in self._of
            ):
                self._add(Node("view", result, [self._of[id(args[0])]], [args[0]], call))
            return result
        for out in all_tensors(result):
            if out.is_floating_point():
                scalars = [a for a in (*args, *kwargs.values()) if isinstance(a, (int, float))]
                node = Node(name, out, inputs, tensors, call, scalars[0] if scalars else None)
                node.kwargs, node.input_sizes, node.power = dict(kwargs), sizes, power
                self._add(node)
        return result

    def _add(self, node: Node) -> None:
        node.place = self._place()
        node.size = rms(node.out) if node.out.numel() else 0.0
        for before in node.inputs:
            before.users.append(node)
        self._of[id(node.out)] = node
        self.nodes.append(node)  # keeps the tensor alive, so that its id stays its own

    def _place(self) -> str:
        """module.path (file.py:line) of the code that called the operation."""
        frame = sys._getframe(2)
        while frame.f_back and frame.f_code.co_filename.startswith((TORCH, HERE)):
            frame = frame.f_back
        line = f"{os.path.basename(frame.f_code.co_filename)}:{frame.f_lineno}"
        return f"{self._path[-1]} ({line})" if self._path and self._path[-1] else line

    def node_of(self, tensor: Tensor) -> Node | None:
        return self._of.get(id(tensor))


def modules_of(function: object) -> dict[str, nn.Module]:
    """The modules that a callable uses: itself, its object, and those in its closure, its globals and partials."""
    if isinstance(function, nn.Module):
        return {"": function}
    found: dict[str, nn.Module] = {}
    owner = getattr(function, "__self__", None)
    if isinstance(owner, nn.Module):
        return {"": owner}
    names = getattr(getattr(function, "__code__", None), "co_freevars", ())
    for name, cell in zip(names, getattr(function, "__closure__", None) or ()):
        try:
            value = cell.cell_contents
        except ValueError:
            continue
        if isinstance(value, nn.Module):
            found[name] = value
    used = getattr(getattr(function, "__code__", None), "co_names", ())
    space = getattr(function, "__globals__", {})
    found |= {name: space[name] for name in used if isinstance(space.get(name), nn.Module)}
    values = vars(owner) if owner is not None and hasattr(owner, "__dict__") else {}
    found |= {name: m for name, m in values.items() if isinstance(m, nn.Module)}
    return found


def ancestors(node: Node, limit: int = 400) -> Iterator[tuple[Node, int]]:
    """The nodes that a node was computed from, nearest first, with their distance. The node itself is first."""
    seen, row, distance = {id(node)}, [node], 0
    while row and limit > 0:
        for each in row:
            yield each, distance
            limit -= 1
        following = []
        for each in row:
            for before in each.inputs:
                if id(before) not in seen:
                    seen.add(id(before))
                    following.append(before)
        row, distance = following, distance + 1


def common_ancestor(a: Node, b: Node) -> Node | None:
    """The nearest feature map that two nodes were both computed from."""
    left = {id(node): distance for node, distance in ancestors(a)}
    both = [(left[id(n)] + d, n) for n, d in ancestors(b) if id(n) in left and n.out.ndim == a.out.ndim]
    return min(both, key=lambda pair: pair[0])[1] if both else None


def after_scalars(node: Node) -> Node:
    """The node at the end of a chain of products with numbers, clamps and sums with numbers."""
    while len(node.users) == 1:
        (user,) = node.users
        alone = len(user.tensors) == 1 or min(t.numel() for t in user.tensors) == 1
        if not (user.op in PRODUCTS and alone or user.op in ("clamp", "clamp_", "contiguous", "to")):
            break
        node = user
    return node
