"""What happens in somebody's training step: calls, derivatives, backward passes, steps of optimizers."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor, nn

from stylegan2.blackbox.events import Backward, Derivative, OptimizerStep, Score, signature
from stylegan2.blackbox.generator import images_of
from stylegan2.errors import InputError
from stylegan2.probing.measure.values import all_tensors, float_tensors


class Watch:
    """Records events while the step runs inside the block.

    Args:
        shift: Number that is added to the logits, to see what the loss does where D is sure.
    """

    def __init__(
        self,
        generator: nn.Module,
        discriminator: nn.Module,
        optimizers: Iterable[torch.optim.Optimizer],
        shift: float = 0.0,
    ):
        self.shift = shift
        self.networks = {"G": generator, "D": discriminator}
        self.optimizers = list(optimizers)
        self.iteration = 0
        self.scores: list[Score] = []
        self.derivatives: list[Derivative] = []
        self.backwards: list[Backward] = []
        self.steps: list[OptimizerStep] = []
        self.fakes: list[tuple[float, float]] = []
        self.crossovers: list[tuple[int, int]] = []
        """(row at which ws change, number of rows) of each call. The row is 0 without mixing."""
        self.latents: dict[int, list[Tensor]] = {}
        """Signatures of the vectors (N, dim) that G or its first part was called on, by iteration."""
        self.w_means: list[Tensor] = []
        """Means over the batch of the vectors that G's parts returned in this iteration."""
        self.with_gradient: set[int] = set()
        self._takes_z: nn.Module | None = None
        self._storages: set[int] = set()
        self._kept: list[Tensor] = []
        self._cleared = [True] * len(self.optimizers)
        self._since: list[list[Backward]] = [[] for _ in self.optimizers]
        self._open: list[Score] = []
        self._stack = ExitStack()
        self._inside = False
        self._derivative: Derivative | None = None  # while its call of torch.autograd.grad runs

    def __enter__(self) -> Watch:
        generator, discriminator = self.networks.values()
        add = self._stack.callback
        add(generator.register_forward_hook(self._generated).remove)
        for part in (generator, *generator.children()):
            add(part.register_forward_pre_hook(self._given_latents).remove)
            add(part.register_forward_hook(self._returned).remove)
        for module in generator.modules():
            if module is not generator:
                add(module.register_forward_pre_hook(self._entered).remove)
                add(module.register_forward_hook(self._image_inside).remove)
        for name in set(dir(type(generator))) - set(
            dir(nn.Module)
        ):  # a synthesis that is a method has no hooks
            method = getattr(generator, name)
            if inspect.ismethod(method) and not name.startswith("_"):
                generator.__dict__[name] = self._watched_method(method)
                add(generator.__dict__.pop, name, None)
        add(discriminator.register_forward_hook(self._scored).remove)
        for i, optimizer in enumerate(self.optimizers):
            add(optimizer.register_step_pre_hook(self._step_hook(i)).remove)
        self._grad, self._backward = torch.autograd.grad, torch.autograd.backward
        torch.autograd.grad = self._watched_grad
        torch.autograd.backward = self._watched_backward
        return self

    def __exit__(self, *error: object) -> None:
        torch.autograd.grad, torch.autograd.backward = self._grad, self._backward
        self._stack.close()

    def next_iteration(self) -> None:
        self.iteration += 1
        self._storages.clear()
        self._kept.clear()
        self._open = []
        self.w_means = []

    def _given_latents(self, module: nn.Module, args: object) -> None:
        for tensor in float_tensors(args):
            # The part that is first called on vectors takes z. Others take w.
            if tensor.ndim == 2 and module is (self._takes_z or module):
                self._takes_z = module
                self.latents.setdefault(self.iteration, []).append(signature(tensor))

    def _returned(self, module: nn.Module, args: object, out: object) -> None:
        for tensor in float_tensors(out):
            if tensor.ndim in (2, 3):
                mean = tensor.detach().double().flatten(0, -2).mean(0)
                if not any(m.shape == mean.shape and torch.equal(m, mean) for m in self.w_means):
                    self.w_means.append(mean)

    def _generated(self, module: nn.Module, args: object, out: object) -> None:
        try:
            image = images_of(out)
        except InputError:
            return
        self._remember(image)

    def _image_inside(self, module: nn.Module, args: object, out: object) -> None:
        """The last image-like output of a part of G, for steps that call `G.synthesis` and not G."""
        for tensor in float_tensors(out):
            if tensor.ndim == 4 and tensor.shape[1] <= 4:
                self._remember(tensor)

    def _watched_method(self, method: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            self._entered(self.networks["G"], args)
            self._given_latents(self.networks["G"], args)
            out = method(*args, **kwargs)
            self._returned(self.networks["G"], args, out)
            if any(t.ndim == 4 for t in float_tensors(out)):
                self._generated(self.networks["G"], args, out)
            return out

        return call

    def _remember(self, image: Tensor) -> None:
        self._storages.add(image.untyped_storage().data_ptr())
        self._kept.append(image.detach())
        if image.requires_grad:
            image.register_hook(self._noise_of(image[0, 0].numel()))
        self.fakes.append((image.min().item(), image.max().item()))

    def _entered(self, module: nn.Module, args: tuple[Any, ...]) -> None:
        if not args or not isinstance(args[0], Tensor) or args[0].ndim != 3 or args[0].shape[1] < 4:
            return
        ws = args[0].detach()
        different = (ws[:, 1:] != ws[:, :-1]).flatten(2).any(2).any(0)  # between neighboring rows
        if different.sum() <= 1 or ws.shape[1] > 4:
            first = int(different.float().argmax()) + 1 if different.any() else 0
            self.crossovers.append((first, ws.shape[1]))

    def _is_fake(self, x: Tensor) -> bool:
        if x.untyped_storage().data_ptr() in self._storages:
            return True
        if x.grad_fn is not None and _leads_to_parameters(x):
            return True
        return any(x.shape == kept.shape and torch.equal(x.detach(), kept) for kept in self._kept[-8:])

    def _noise_of(self, pixels: int) -> Callable[[Tensor], None]:
        def hook(gradient: Tensor) -> None:
            if self._derivative is not None and math.isnan(self._derivative.noise):  # the last image of G
                self._derivative.noise = float(gradient.norm()) / (gradient.numel() / pixels) ** 0.5

        return hook

    def _scored(self, module: nn.Module, args: tuple[Any, ...], out: object) -> object:
        image = next((t for t in float_tensors(args) if t.ndim == 4), None)
        logits = next(float_tensors(out), None)
        if image is None or logits is None:
            return None
        x = image.detach()
        halves = [x]
        fake = self._is_fake(image)
        if not fake and self._kept and len(x) % 2 == 0:  # one call on generated and real images together
            n = len(x) // 2
            halves = [x[:n], x[n:]]
        kinds = [fake] if len(halves) == 1 else [self._is_fake(h.clone()) for h in halves]
        if len(set(kinds)) == 1:
            halves, kinds = [x], kinds[:1]
        for i, (half, kind) in enumerate(zip(halves, kinds)):
            part = slice(i * len(half), (i + 1) * len(half))
            score = Score(
                self.iteration,
                kind,
                half.min().item(),
                half.max().item(),
                signature(half),
                logits.detach()[part],
            )
            self.scores.append(score)
            self._open.append(score)
            if logits.requires_grad:
                logits.register_hook(self._slope_of(score, part))
        return out + self.shift if self.shift and isinstance(out, Tensor) else None

    def _slope_of(self, score: Score, part: slice) -> Callable[[Tensor], None]:
        def hook(gradient: Tensor | None) -> None:
            if gradient is not None and self._derivative is not None:
                self._derivative.slope = gradient.mean().item()
            elif gradient is not None and self._inside and score.slopes is None:
                score.slopes = gradient.detach()[part]
                score.backward = len(self.backwards) - 1
                self.backwards[-1].scores.append(score)

        return hook

    def _watched_grad(self, outputs: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        create = bool(kwargs.get("create_graph", args[2] if len(args) > 2 else False))
        found = [
            Derivative(
                self.iteration,
                self._kind_of(tensor),
                create,
                tensor.grad_fn is not None and _leads_to_parameters(tensor),
                tuple(tensor.shape),
            )
            for tensor in all_tensors(inputs)
        ]
        self.derivatives += found
        self._derivative = found[0] if found else None
        try:
            results = self._grad(outputs, inputs, *args, **kwargs)
        finally:
            self._derivative = None
        for derivative, result in zip(found, results):
            if result is not None and result.requires_grad:
                result.register_hook(self._use_of(derivative, result.detach()))
        return results

    def _use_of(self, derivative: Derivative, result: Tensor) -> Callable[[Tensor], None]:
        def hook(slope: Tensor) -> None:
            derivative.used = True
            if derivative.of != "other":
                derivative.learn_weight(result, slope)
            if self._inside:
                derivative.backwards.append(self.backwards[-1])

        return hook

    def _kind_of(self, tensor: Tensor) -> str:
        if isinstance(tensor, nn.Parameter):
            return "other"
        if tensor.ndim == 4 and tensor.shape[1] <= 4:
            return "generated images" if self._is_fake(tensor) else "real images"
        return "ws" if tensor.ndim in (2, 3) else "other"

    def _watched_backward(self, *args: Any, **kwargs: Any) -> None:
        before = {key: self._gradient_sums(net) for key, net in self.networks.items()}
        for i, optimizer in enumerate(self.optimizers):
            if not any(_has_gradient(p) for group in optimizer.param_groups for p in group["params"]):
                self._cleared[i], self._since[i] = True, []
        event = Backward(self.iteration)
        self.backwards.append(event)
        self._inside = True
        try:
            self._backward(*args, **kwargs)
        finally:
            self._inside = False
        for key, net in self.networks.items():
            after = self._gradient_sums(net)
            if any(after[k] != before[key].get(k, 0.0) for k in after):
                event.changed.add(key)
        for i, optimizer in enumerate(self.optimizers):
            mine = {id(p) for group in optimizer.param_groups for p in group["params"]}
            if any(
                any(id(p) in mine for p in net.parameters())
                for key, net in self.networks.items()
                if key in event.changed
            ):
                self._since[i].append(event)

    def _gradient_sums(self, network: nn.Module) -> dict[int, float]:
        return {id(p): float(p.grad.float().norm()) for p in network.parameters() if p.grad is not None}

    def _step_hook(self, i: int) -> Callable[[Any, Any, Any], None]:
        return lambda optimizer, args, kwargs: self._stepped(i)

    def _stepped(self, i: int) -> None:
        for group in self.optimizers[i].param_groups:
            self.with_gradient |= {id(p) for p in group["params"] if _has_gradient(p)}
        if not any(_has_gradient(p) for group in self.optimizers[i].param_groups for p in group["params"]):
            self._cleared[i], self._since[i] = True, []
        lr = max((float(group.get("lr", 1.0)) for group in self.optimizers[i].param_groups), default=0.0)
        self.steps.append(OptimizerStep(self.iteration, i, self._cleared[i], lr, list(self._since[i])))
        self._cleared[i] = False


def _has_gradient(p: Tensor) -> bool:
    return p.grad is not None and bool(p.grad.any())


def _leads_to_parameters(tensor: Tensor, limit: int = 3000) -> bool:
    """Whether a tensor was computed from a parameter."""
    row: list[Any] = [tensor.grad_fn]
    seen: set[Any] = set()
    while row and len(seen) < limit:
        node = row.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        variable = getattr(node, "variable", None)
        if isinstance(variable, nn.Parameter):
            return True
        row += [before for before, _ in node.next_functions]
    return False
