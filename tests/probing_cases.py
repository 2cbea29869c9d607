"""Small networks to probe, images for them, and the faults found: shared by the probe's tests."""

import torch
import torch.nn.functional as F

from stylegan2.networks.discriminator import Discriminator
from stylegan2.networks.generator import Generator
from stylegan2.networks.scalings import Scalings
from stylegan2.probing.measure.networks import probe_model
from stylegan2.training.config import TrainingConfig
from stylegan2.training.module import StyleGAN2
from stylegan2.training.regularizers.path_length import PathLength
from stylegan2.training.regularizers.r1 import R1


def make(
    resolution=16,
    *,
    g="skip",
    d="resnet",
    base=512,
    scalings=None,
    seed=0,
    blocks=None,
    r1=R1(gamma=1.0),  # noqa: B008 (frozen)
    path_length=PathLength(),  # noqa: B008
    batch=8,
    batch_per_device=None,
    **options,
):
    torch.manual_seed(seed)
    scalings = scalings or Scalings()
    networks = {"scalings": scalings, "channel_base": base} | (blocks or {})
    shared = {key: options.pop(key) for key in ("img_channels", "num_classes") if key in options}
    config = TrainingConfig(scalings=scalings, regularizers=(r1, path_length), **options)
    return StyleGAN2(
        Generator(resolution, architecture=g, **networks, **shared),
        Discriminator(resolution, architecture=d, **networks, **shared),
        config,
        batch=batch,
        batch_per_device=batch_per_device,
    )


def batch(model, n=8):
    """Smooth random images, and labels in turn."""
    g, random = model.generator, torch.Generator().manual_seed(1)
    small = torch.randn(n, g.img_channels, 4, 4, generator=random)
    labels = torch.eye(g.num_classes)[torch.arange(n) % g.num_classes] if g.num_classes else torch.zeros(n, 0)
    return 0.5 * F.interpolate(small, size=g.resolution, mode="bicubic"), labels


def faults(model, **kwargs):
    found = {}
    for fault in probe_model(model, *batch(model), **kwargs).faults:
        found[fault.name] = found.get(fault.name, "") + str(fault)
    return found
