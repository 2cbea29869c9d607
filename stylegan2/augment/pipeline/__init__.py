"""The augmentation pipeline of ADA (Karras et al. 2020, arXiv 2006.06676, appendix B)."""

from __future__ import annotations

from torch import Tensor

from . import bands, color, corruption, geometry
from .draws import Draws, Parameters, draw

__all__ = ["Draws", "Parameters", "apply", "draw"]


def apply(images: Tensor, parameters: Parameters) -> Tensor:
    """Geometry (one resampling), color (one affine map), image filter, noise and cutout, in this order.

    Every transform is linear or affine in the images, so that penalties can be differentiated through it.

    Args:
        images: (N, C, H, W) in [-1, 1]. Of 3 or more channels the first three are RGB, and those after them get no
            color transforms.
        parameters: The result of `draw`, or any part of it. A transform that is not in it is left out.
    """
    height, width = images.shape[2:]
    matrix = geometry.affine(parameters, width, height)
    if matrix is not None:
        images = geometry.resample(images, matrix)
    matrix = color.affine(parameters)
    if matrix is not None:
        images = color.apply(images, matrix)
    if "imgfilter" in parameters:
        images = bands.apply(images, parameters["imgfilter"])
    if "noise" in parameters:
        images = corruption.add_noise(images, parameters["noise"], parameters["noise_field"])
    if "cutout" in parameters:
        images = corruption.cut_out(images, parameters["cutout_center"], parameters["cutout"])
    return images
