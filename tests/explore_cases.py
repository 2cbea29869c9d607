"""Tiny networks and their files, for the tests of exploring."""

from pathlib import Path

import torch

from stylegan2 import Generator
from stylegan2.formats import Networks, formats

TINY = {"z_dim": 16, "w_dim": 16, "mapping_layers": 2, "channel_base": 128, "channel_max": 8}


def tiny_network(num_classes=0, seed=0, size=16, noise=0.1, **options):
    """A network that was not trained, with noise that shows and a mean of w that is not zero."""
    torch.manual_seed(seed)
    network = Generator(size, num_classes=num_classes, **{**TINY, **options})
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if name.endswith("noise_strength"):
                parameter.fill_(noise)
        network.mapping.w_avg.normal_(std=0.2)
    return network.eval().requires_grad_(False)


def save_network(network, path: Path):
    names = ["cats", "dogs", "owls"][: network.num_classes]
    formats["native"].write(Networks(generator=network, about={"class_names": names}), path)
    return path
