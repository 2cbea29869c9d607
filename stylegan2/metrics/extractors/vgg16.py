"""VGG-16 (Simonyan & Zisserman 2015) with torchvision's weights, by which precision and recall were published."""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from stylegan2.errors import InputError
from stylegan2.metrics.extractors import extractors, file_digest, to_rgb

FILE = "vgg16-397923af.pth"
"""What torchvision calls its weights."""

SIDE = 224
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Mean and deviation of ImageNet's colors in 0..1, by which torchvision's weights expect them to be normalized."""


@extractors.register("vgg16")
class VGG16:
    """4,096 features after the second fully connected layer of VGG-16, and the logits of 1,000 classes.

    Kynkäänniemi et al. (2019, arXiv 1904.06991) measure precision and recall with this layer, on other weights.

    Args:
        path: The file of torchvision's weights. None: the file that torchvision has downloaded before.

    Raises:
        InputError: The file is missing, or it holds something else.
    """

    key, title, published, has_classes = "vgg16", "VGG-16", False, True
    resize = f"bilinear with antialiasing to {SIDE}"

    def __init__(self, path: str | None = None):
        from torchvision.models import vgg16

        cached = Path(torch.hub.get_dir()) / "checkpoints" / FILE
        file = Path(path).expanduser() if path else cached
        if not file.is_file():
            raise InputError(
                f"Expected torchvision's weights of VGG-16 at {file}, found no such file. Download "
                f"https://download.pytorch.org/models/{FILE} to {cached}, or give the path of the file with "
                "--metrics.features_path (evaluate: --features_path)."
            )
        try:
            with torch.device("meta"):
                network = vgg16()
            network.load_state_dict(torch.load(file, map_location="cpu", weights_only=True), assign=True)
        except Exception as error:  # the file can hold anything
            raise InputError(
                f"Expected torchvision's weights of VGG-16 in {file}, found other contents ({type(error).__name__}). "
                f"Give {FILE}."
            ) from error
        self.weights = file_digest(file)
        self.network = network.eval().requires_grad_(False)

    @torch.no_grad()
    def __call__(self, images: Tensor) -> tuple[Tensor, Tensor | None]:
        """Features (N, 4096) and logits (N, 1000)."""
        network, x = self.network.to(images.device), to_rgb(images)
        x = F.interpolate(x, (SIDE, SIDE), mode="bilinear", antialias=True, align_corners=False) / 255
        x = (x - x.new_tensor(MEAN).view(3, 1, 1)) / x.new_tensor(DEVIATION).view(3, 1, 1)
        x = network.avgpool(network.features(x)).flatten(1)
        features = network.classifier[:5](x)  # with the ReLU of the second layer
        return features, network.classifier[5:](features)
