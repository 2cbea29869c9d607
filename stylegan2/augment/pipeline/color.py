"""Color: one affine map of the colors for each image."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor


def affine(parameters: Mapping[str, Tensor]) -> Tensor | None:
    """The map (N, 3, 4) of homogeneous RGB, or None if no parameter belongs to it (ADA app. B).

    The transforms act in the order of their names here. v = (1, 1, 1)/√3 is the gray axis.

    Args:
        parameters: Any of brightness b, which is added; contrast c, a factor; lumaflip i, 0 or 1: I - 2 v vᵀ i;
            hue, an angle about v in radians; saturation s: v vᵀ + (I - v vᵀ) s. Each is (N,).
    """
    product: Tensor | None = None
    for name in ("brightness", "contrast", "lumaflip", "hue", "saturation"):
        if name not in parameters:
            continue
        value = parameters[name][:, None, None]
        one = torch.eye(3, dtype=value.dtype, device=value.device)
        gray = torch.full_like(one, 1 / 3)  # v vᵀ
        if name == "brightness":
            linear, shift = one.expand(len(value), 3, 3), value.expand(-1, 3, 1)
        else:
            shift = value.new_zeros(len(value), 3, 1)
            if name == "contrast":
                linear = one * value
            elif name == "lumaflip":
                linear = one - 2 * gray * value
            elif name == "hue":
                # Rodrigues' formula: cos θ I + sin θ [v]ₓ + (1 - cos θ) v vᵀ
                cross = value.new_tensor([[0, -1, 1], [1, 0, -1], [-1, 1, 0]]) / 3**0.5
                linear = value.cos() * one + value.sin() * cross + (1 - value.cos()) * gray
            else:
                linear = gray + (one - gray) * value
        step = torch.cat(
            [torch.cat([linear, shift], dim=2), value.new_tensor([0, 0, 0, 1]).expand(len(value), 1, 4)],
            dim=1,
        )
        product = step if product is None else step @ product
    return None if product is None else product[:, :3]


def apply(images: Tensor, matrix: Tensor) -> Tensor:
    """Apply the map (N, 3, 4) to images (N, C, H, W).

    Images of 3 or 4 channels are RGB and what follows RGB, such as alpha, is kept. Images of 1 or 2 channels have
    gray first: x times the sum of the mean row's first three entries plus its fourth.
    """
    colors = 3 if images.shape[1] >= 3 else 1
    if colors == 1:
        mean = matrix.mean(dim=1, keepdim=True)
        matrix = torch.cat([mean[:, :, :3].sum(dim=2, keepdim=True), mean[:, :, 3:]], dim=2)
    flat = torch.baddbmm(matrix[:, :, -1:], matrix[:, :, :-1], images[:, :colors].flatten(2))
    mapped = flat.reshape(images[:, :colors].shape)
    return mapped if images.shape[1] == colors else torch.cat([mapped, images[:, colors:]], dim=1)
