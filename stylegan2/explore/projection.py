"""Projection of images to latent space: the w whose image is most like a given one (SG2 §5 and app. D)."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from stylegan2.errors import InputError
from stylegan2.formats.reading import METADATA, read_contents
from stylegan2.formats.tensors import write_safetensors
from stylegan2.networks.generator import Generator
from stylegan2.networks.layers import SynthesisLayer
from stylegan2.registry import check_choices

from .distances import Features
from .latents import sample_w

KEY = "stylegan2_projection"
"""Key of the settings in the metadata of a file."""


@dataclass(frozen=True, kw_only=True)
class ProjectionOptions:
    """The settings of a projection. The defaults are those of SG2 app. D, apart from the number of steps."""

    steps: int = 500
    """Optimization steps."""

    space: Literal["w", "w+"] = "w"
    """w finds one w for all layers. w+ finds one for each layer: the image comes nearer, but the latent may be none
    that edits work on."""

    learning_rate: float = 0.1
    """Of Adam, between its rise and its fall."""

    rise: float = 0.05
    """Part of the steps in which the learning rate rises from 0, linearly."""

    fall: float = 0.25
    """Part of the steps in which it falls to 0, as a cosine."""

    noise: float = 0.05
    """Standard deviation of the noise that is added to w at first, as a multiple of that of w."""

    noise_until: float = 0.75
    """Part of the steps after which w has no noise. Before, its strength falls quadratically."""

    regularization: float = 1e5
    """Weight of the penalty that keeps images out of the noise maps."""

    samples: int = 10_000
    """Number of latents from which mean and deviation of w are computed."""

    seed: int = 0
    """Of these latents and of all noise."""

    def __post_init__(self) -> None:
        check_choices(self)

    def learning_rate_at(self, step: int) -> float:
        part = step / self.steps
        fall = min(1.0, (1 - part) / self.fall)
        rise = min(1.0, part / self.rise)
        return self.learning_rate * (0.5 - 0.5 * math.cos(math.pi * fall)) * rise

    def noise_at(self, step: int) -> float:
        return self.noise * max(0.0, 1 - step / self.steps / self.noise_until) ** 2


class Projection:
    """The projection of a batch of images, one `advance()` after the other.

    Args:
        network: The generator, which stays as it is.
        targets: Images (N, C, H, W) in [-1, 1] of the network's size.
        features: Of the distance, see `stylegan2.explore.distances`.
        options: The settings.
        label: (num_classes,), the label of all images.
    """

    def __init__(
        self,
        network: Generator,
        targets: Tensor,
        features: Features,
        options: ProjectionOptions,
        label: Tensor | None = None,
    ):
        self.options, self.features, self.step = options, features, 0
        parameter = next(network.parameters())
        self.device, count = parameter.device, len(targets)
        self.targets = targets.to(parameter)
        with torch.no_grad():
            self.wanted = features(self.targets)
        w = sample_w(network, options.samples, None if label is None else label[None], options.seed)
        self.w_avg = w.mean(dim=0)
        self.w_std = float((w - self.w_avg).square().sum(dim=1).mean().sqrt())
        rows = network.num_ws if options.space == "w+" else 1
        self.num_ws = network.num_ws
        self.w = self.w_avg.expand(count, rows, -1).clone().requires_grad_()
        self.synthesis = copy.deepcopy(network.synthesis).eval().requires_grad_(False)
        self.noises: dict[str, Tensor] = {}
        random = torch.Generator().manual_seed(options.seed)
        for name, layer in self.synthesis.named_modules():
            if isinstance(layer, SynthesisLayer) and layer.has_noise:
                noise = torch.randn(1, 1, *layer.size, generator=random).to(parameter)
                self.noises[name] = noise.repeat(count, 1, 1, 1).requires_grad_()
                layer.noise_const = self.noises[name]
        self.optimizer = torch.optim.Adam([self.w, *self.noises.values()], betas=(0.9, 0.999))

    def advance(self) -> Tensor:
        """Take a step, and return the distance of every image before it, (N,)."""
        rate, strength = self.options.learning_rate_at(self.step), self.options.noise_at(self.step)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        random = torch.Generator().manual_seed(self.options.seed * 1_000_003 + self.step)
        shaking = torch.randn(1, *self.w.shape[1:], generator=random).to(self.w)
        ws = self.w + strength * self.w_std * shaking
        distance = (self.features(self._images(ws)) - self.wanted).square().sum(dim=1)
        loss = distance.sum()
        for noise in self.noises.values():
            loss = loss + self.options.regularization * noise_penalty(noise).sum()
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        with torch.no_grad():
            for noise in self.noises.values():
                noise -= noise.mean(dim=(2, 3), keepdim=True)
                noise *= noise.square().mean(dim=(2, 3), keepdim=True).rsqrt()
        self.step += 1
        return distance.detach()

    @torch.no_grad()
    def images(self, ws: Tensor | None = None) -> Tensor:
        """The images (N, C, H, W) of the present ws, or of others (N, rows, w_dim), with the present noise."""
        return self._images(self.w if ws is None else ws.to(self.w))

    @torch.no_grad()
    def distances(self) -> Tensor:
        """The distance of every present image to its target, (N,)."""
        return (self.features(self.images()) - self.wanted).square().sum(dim=1)

    def ws(self) -> Tensor:
        """The latents found so far, (N, num_ws, w_dim)."""
        return self.w.detach().expand(-1, self.num_ws, -1).clone()

    def _images(self, ws: Tensor) -> Tensor:
        return self.synthesis(ws.expand(-1, self.num_ws, -1), "const")

    def save(self, path: str | Path, about: Mapping[str, object], history: Tensor) -> None:
        """Write all that `load` needs to go on, beside what the caller wants to find again."""
        tensors = {"w": self.w, "history": history, **{f"noise.{k}": v for k, v in self.noises.items()}}
        for number, state in self.optimizer.state_dict()["state"].items():
            tensors |= {f"adam.{number}.{name}": value for name, value in state.items()}
        settings = {"step": self.step, "options": asdict(self.options), "about": dict(about)}
        write_safetensors(tensors, path, {KEY: json.dumps(settings)})

    def load(self, path: str | Path, about: Mapping[str, object]) -> Tensor:
        """Go on from a file that `save` wrote, and return its history.

        Raises:
            InputError: It belongs to other images, another network or other options.
        """
        contents = read_contents(path)
        try:
            settings = json.loads(contents[METADATA][KEY])
            step, options, theirs = settings["step"], settings["options"], settings["about"]
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(
                f"Expected an interrupted projection in {path}, found something else."
            ) from error
        if options != asdict(self.options) or theirs != dict(about):
            raise InputError(
                f"{path} holds an interrupted projection with other images or options. Give the same ones to finish "
                "it, remove the file, or choose another --out."
            )
        self.step = int(step)
        with torch.no_grad():
            self.w.copy_(contents["w"])
            for name, noise in self.noises.items():
                noise.copy_(contents[f"noise.{name}"])
        state = self.optimizer.state_dict()
        state["state"] = {
            number: {name: contents[f"adam.{number}.{name}"] for name in ("step", "exp_avg", "exp_avg_sq")}
            for number in range(1 + len(self.noises))
        }
        self.optimizer.load_state_dict(state)
        return contents["history"]


def noise_penalty(noise: Tensor) -> Tensor:
    """How far noise maps (N, 1, H, W) are correlated with themselves shifted by a pixel: (N,), SG2 app. D.

    The sum, over the map and its reductions by 2 down to 8×8, of the squared mean products with the neighbors to the
    right and below. A reduced pixel is the mean of four times 2, which keeps white noise at variance 1.
    """
    total = noise.new_zeros(len(noise))
    while True:
        for dim in (2, 3):
            total = total + (noise * noise.roll(1, dim)).mean(dim=(1, 2, 3)).square()
        if min(noise.shape[2:]) <= 8:
            return total
        noise = 2 * F.avg_pool2d(noise, 2)
