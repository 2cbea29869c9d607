"""Images wider than those of training, by a wider constant at the lowest resolution."""

from __future__ import annotations

import copy
from typing import cast

import torch
from torch import nn

from stylegan2.networks.generator import Generator, SynthesisBlock
from stylegan2.networks.layers import SynthesisLayer


def widened(network: Generator, times: int, seed: int = 0) -> Generator:
    """The network with its learned constant repeated beside itself, so that images are `times` as wide.

    All layers are convolutions, which continue over any width. The image then repeats what the constant and w decide,
    and differs in what the noise decides, because noise maps are drawn anew beyond the first width. The network knows
    positions only from the constant and from the zeros around its features. It gives seamless textures, and objects
    such as faces once for each repetition or broken in two.

    Args:
        network: The generator, which stays as it is.
        times: 1 or more.
        seed: Of the new parts of the noise maps.
    """
    wide = copy.deepcopy(network)
    first = cast(SynthesisBlock, wide.synthesis.get_submodule(f"b{wide.synthesis.resolutions[0]}"))
    first.const = nn.Parameter(first.const.detach().repeat(1, 1, times), requires_grad=False)
    random = torch.Generator().manual_seed(seed)
    for layer in wide.synthesis.modules():
        if isinstance(layer, SynthesisLayer):
            height, width = layer.size
            layer.size = (height, width * times)
            if layer.has_noise:
                more = torch.randn(height, width * (times - 1), generator=random).to(layer.noise_const)
                layer.noise_const = torch.cat([layer.noise_const, more], dim=1)
    height, width = wide.image_size
    wide.image_size = (height, width * times)
    return wide
