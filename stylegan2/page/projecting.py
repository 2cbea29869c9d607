"""Projection on the page: the latent of an uploaded picture, with a view of every few steps."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from PIL import Image
from torch import Tensor

from stylegan2.data import to_float
from stylegan2.data.decoding import decode
from stylegan2.explore.distances import load_distance
from stylegan2.explore.projection import Projection, ProjectionOptions
from stylegan2.images import png, to_picture

from .picture import Studio

STEPS = 300
"""Most steps of a projection on the page."""

EVERY = 5
"""Steps between two views."""


def project(
    studio: Studio, picture: Image.Image, steps: int, label: int
) -> Iterator[tuple[int, Image.Image, Tensor]]:
    """Yield (step, picture, ws (num_ws, w_dim)) on the way, and at the end.

    Args:
        studio: The network.
        picture: Any picture.
        steps: Number of steps, at most `STEPS`.
        label: Number of the label.
    """
    network = studio.network
    options = ProjectionOptions(steps=max(1, min(int(steps), STEPS)), samples=2000)
    _, features = load_distance("auto")
    labels = studio.labels[label][1] if network.num_classes else None
    projection = Projection(network, _target(studio, picture)[None], features, options, labels)
    for step in range(1, options.steps + 1):
        projection.advance()
        if step % EVERY == 0 or step == options.steps:
            yield step, to_picture(projection.images()[0].cpu()), projection.ws()[0]


def _target(studio: Studio, picture: Image.Image) -> Tensor:
    """The picture as an image (C, H, W) in [-1, 1], converted as images for training are."""
    network = studio.network
    return to_float(torch.from_numpy(decode(png(picture), network.image_size, network.img_channels)))
