"""The pictures of the page: what a visitor chooses, its bounds, and the command that makes the picture again."""

from __future__ import annotations

import base64
import html
import math
import shlex
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any, get_args

import torch
from PIL import Image
from safetensors.torch import save
from torch import Tensor

from stylegan2.explore.directions import Directions, Edit
from stylegan2.explore.latents import image_of, latent, truncated, w_of
from stylegan2.images import png, to_picture
from stylegan2.networks.generator import Generator
from stylegan2.networks.layers import Noise
from stylegan2.threads import ThreadTuner

SEEDS = 2**32 - 1
"""The largest seed."""

PSI, STRENGTH = 2.0, 6.0
"""Largest truncation and strength of an edit on the page, of either sign."""


@dataclass(frozen=True)
class Choice:
    """What one picture is made from. Visitors can send anything, so `bounded` brings every field into its range."""

    seed: int = 0
    other: int = 1
    """A second seed, whose w the layers from `first` to `last` take."""
    first: int = 0
    last: int = -1
    """The last of these layers. Smaller than `first`: none."""
    towards: float = 0.0
    """Part of the way from the first seed to the second, in W."""
    psi: float = 1.0
    noise: Noise = "const"
    label: int = 0
    edits: tuple[float, ...] = field(default=())

    def bounded(self, network: Generator, labels: int, directions: int) -> Choice:
        """The choice with every number inside its range, and what is no number at its default."""
        strengths = [_number(value, -STRENGTH, STRENGTH, 0.0) for value in self.edits[:directions]]
        return Choice(
            seed=int(_number(self.seed, 0, SEEDS, 0)),
            other=int(_number(self.other, 0, SEEDS, 0)),
            first=int(_number(self.first, 0, network.num_ws - 1, 0)),
            last=int(_number(self.last, -1, network.num_ws - 1, -1)),
            towards=_number(self.towards, 0.0, 1.0, 0.0),
            psi=_number(self.psi, -PSI, PSI, 1.0),
            noise=self.noise if self.noise in get_args(Noise) else "const",
            label=int(_number(self.label, 0, labels - 1, 0)),
            edits=tuple(strengths + [0.0] * (directions - len(strengths))),
        )

    @property
    def is_plain(self) -> bool:
        """Whether `generate --seeds` makes the picture."""
        return self.last < self.first and self.towards == 0 and not any(self.edits)


class Studio:
    """A network with the labels and directions that the page offers.

    Args:
        network: The generator, in evaluation mode.
        checkpoint: Its file, for commands that the page shows.
        labels: Names and vectors (num_classes,) of the labels. At least one.
        directions: Edits, or None.
        served: The same network with its images computed by a runtime. None: `network` itself.
        tuner: Chooses the number of CPU threads. None: the number stays as it is.
    """

    def __init__(
        self,
        network: Generator,
        checkpoint: str,
        labels: Sequence[tuple[str, Tensor]],
        directions: Directions | None = None,
        served: Generator | None = None,
        tuner: ThreadTuner | None = None,
    ):
        self.network, self.labels = network, list(labels)
        self.served = served or network
        self.vectors: Mapping[str, Tensor] = directions.vectors if directions is not None else {}
        self.rows = directions.rows if directions is not None else range(0)
        self.generate = ["stylegan2", "generate", "--checkpoint", checkpoint]
        self._tuner = tuner or ThreadTuner([torch.get_num_threads()])
        # PyTorch keeps the number of threads for each calling thread, so one of them draws all pictures.
        self._painter = ThreadPoolExecutor(1, thread_name_prefix="painter")
        self._w = lru_cache(maxsize=4096)(self._mapped)

    def choice(self, values: Sequence[Any]) -> Choice:
        """The choice that the page's controls stand for, inside its bounds. A missing value is at its default."""
        known = [*values[:8], *[None] * (8 - len(values))]
        seed, other, first, last, towards, psi, noise, label = known
        return self.bounded(Choice(seed, other, first, last, towards, psi, noise, label, tuple(values[8:])))

    def bounded(self, choice: Choice) -> Choice:
        return choice.bounded(self.network, len(self.labels), len(self.vectors))

    @torch.no_grad()
    def ws(self, choice: Choice) -> Tensor:
        """The ws (num_ws, w_dim) of a choice inside its bounds."""
        w, other = self._w(choice.seed, choice.label), self._w(choice.other, choice.label)
        ws = w.lerp(other, choice.towards).repeat(1, self.network.num_ws, 1)
        if choice.first <= choice.last:
            ws[:, choice.first : choice.last + 1] = other
        ws = truncated(ws, self._center(choice.label), choice.psi)
        for strength, vector in zip(choice.edits, self.vectors.values()):
            ws = Edit(vector, self.rows, strength, strength).applied(ws)
        return ws[0]

    def picture(self, choice: Choice) -> Image.Image:
        """The picture of a choice. Pictures of several visitors are made one after the other."""
        return self.picture_of(self.ws(choice), choice)

    def picture_of(self, ws: Tensor, choice: Choice) -> Image.Image:
        """The picture of ws (num_ws, w_dim), with the noise of a choice."""
        return self._painter.submit(self._drawn, ws, choice).result()

    def _drawn(self, ws: Tensor, choice: Choice) -> Image.Image:
        with self._tuner.piece():
            return to_picture(image_of(self.served, ws, choice.noise, choice.seed))

    def wall(self, page: int, count: int, choice: Choice) -> list[tuple[Image.Image, int]]:
        """(picture, seed) of `count` seeds, with the label and truncation of a choice."""
        first = int(_number(page, 0, SEEDS // count - 1, 0)) * count
        plain = Choice(psi=choice.psi, noise=choice.noise, label=choice.label)
        return [
            (self.picture(self.bounded(replace(plain, seed=seed))), seed)
            for seed in range(first, first + count)
        ]

    def command(self, choice: Choice) -> str:
        """The command that makes the picture again."""
        words = list(self.generate)
        if choice.is_plain:
            words += ["--seeds", str(choice.seed), "--psi", f"{choice.psi:g}"]
            if self.network.num_classes:
                words += ["--classes", str(choice.label)]
        else:
            words += ["--latent", f"seed{choice.seed:04d}.safetensors"]
        return shlex.join([*words, "--noise", choice.noise])

    def _mapped(self, seed: int, label: int) -> Tensor:
        return w_of(self.network, latent(self.network, seed), self.labels[label][1][None])

    @lru_cache(maxsize=1024)  # noqa: B019 (one studio lives as long as the page)
    def _center(self, label: int) -> Tensor:
        """What truncation goes towards: as in `generate`, the mean of w of the label."""
        if not self.network.num_classes:
            return self.network.mapping.w_avg
        vector = self.labels[label][1].to(self.network.mapping.w_avg)
        return self.network.mapping.w_mean(vector[None])[0]


def element(picture: Image.Image, side: int, about: str, name: str = "", ws: Tensor | None = None) -> str:
    """A picture as HTML that needs no file. Small pictures are shown with sharp pixels.

    Args:
        picture: The picture.
        side: The longer side on the screen, in pixels.
        about: Words for readers who do not see it.
        name: With a name, links to download NAME.png and, with ws, NAME.safetensors stand below the picture.
        ws: Its latent (num_ws, w_dim).
    """
    source = _data("image/png", png(picture, compression=1))
    width = round(side * picture.width / max(picture.size))
    links = [f'<a download="{html.escape(name)}.png" href="{source}">Download picture</a>'] if name else []
    if name and ws is not None:
        latent = _data("application/octet-stream", save({"ws": ws.float().contiguous()}))
        links.append(f'<a download="{html.escape(name)}.safetensors" href="{latent}">Download latent</a>')
    return (
        f'<img src="{source}" alt="{html.escape(about)}" style="width:{width}px;max-width:100%;'
        'image-rendering:pixelated;border-radius:8px;display:block;margin:auto">'
        f'<p style="text-align:center">{" · ".join(links)}</p>'
    )


def _data(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def _number(value: Any, least: float, most: float, default: float) -> float:
    """A number inside a range, or the default for anything that is none."""
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return default
    return min(max(number, least), most) if math.isfinite(number) else default
