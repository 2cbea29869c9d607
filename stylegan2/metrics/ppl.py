"""Perceptual path length in W (Karras et al. 2019, equation 4; SG2 §3).

It is E d(g(w), g(lerp(w, w', ε)))/ε² with ε = 1e-4, where w and w' are the styles of two latents and d is a
perceptual distance of images. The lowest and the highest hundredth of the values are left out. Papers use LPIPS with
VGG-16 as d. Where its weights are missing, d is the squared distance of features of length 1, and the figure is not
called PPL.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from stylegan2.metrics import metrics
from stylegan2.metrics.comparison import Comparison, FeatureMetric
from stylegan2.metrics.extractors import Extractor, file_digest, to_rgb

EPSILON = 1e-4
SIDE = 256
"""Larger images are reduced to about this size for LPIPS, by averaging."""

LPIPS_FILES = ("weights-vgg16-lpips.pth", "vgg16-397923af.pth")
"""The files in PyTorch's cache that torch-fidelity's LPIPS reads: its own weights and those of VGG-16."""


class FeatureDistance:
    """d(x, y) = ‖f(x)/‖f(x)‖ - f(y)/‖f(y)‖‖², where f are the features of a network."""

    def __init__(self, extractor: Extractor):
        self.extractor = extractor
        self.key, self.title, self.published = extractor.key, extractor.title, False
        self.weights, self.resize = extractor.weights, extractor.resize

    def __call__(self, x: Tensor, y: Tensor) -> Tensor:
        """Distances (N,) of images (N, C, H, W) in 0..255, which are not rounded."""
        both = F.normalize(self.extractor(torch.cat([x, y]).float())[0].double(), dim=1)
        a, b = both.chunk(2)
        return (a - b).square().sum(dim=1)


class LPIPS:
    """LPIPS with VGG-16 (Zhang et al. 2018, arXiv 1801.03924), by torch-fidelity."""

    key, title, published = "lpips", "LPIPS (VGG-16)", True
    resize = f"average over squares to about {SIDE}"

    def __init__(self, files: list[Path]):
        from torch_fidelity.sample_similarity_lpips import SampleSimilarityLPIPS

        self.network = SampleSimilarityLPIPS("lpips-vgg16")
        self.weights = "+".join(file_digest(file) for file in files)

    @torch.no_grad()
    def __call__(self, x: Tensor, y: Tensor) -> Tensor:
        """Distances (N,) of images (N, C, H, W) in 0..255, which are not rounded."""
        factor = max(min(x.shape[2:]) // SIDE, 1)
        x, y = (F.avg_pool2d(to_rgb(images), factor) for images in (x, y))
        found: Tensor = self.network.to(x.device)(x, y)
        return found.flatten().double()


def perceptual_distance(extractor: Extractor) -> FeatureDistance | LPIPS:
    """LPIPS if its weights have been downloaded before, and otherwise the distance of a network's features."""
    files = [Path(torch.hub.get_dir()) / "checkpoints" / name for name in LPIPS_FILES]
    there = importlib.util.find_spec("torch_fidelity") and all(file.is_file() for file in files)
    return LPIPS(files) if there else FeatureDistance(extractor)


def path_length(compared: Comparison) -> float:
    """The mean of d/ε² without the lowest and the highest hundredth."""
    values = compared.path.double().numpy()
    low = np.percentile(values, 1, method="lower")
    high = np.percentile(values, 99, method="higher")
    return float(values[(values >= low) & (values <= high)].mean())


metrics.register("ppl")(
    FeatureMetric(title="Path length", published="PPL", better="lower", needs="path", value=path_length)
)
