"""Inception-v3 as published with FID (Heusel et al. 2017), by torch-fidelity."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from stylegan2.errors import InputError
from stylegan2.metrics.extractors import extractors, file_digest, require_package, to_rgb

PUBLISHED = "6726825d"
"""The first digits of the SHA-256 of the published weights."""

FILE = f"weights-inception-2015-12-05-{PUBLISHED}.pth"
"""What torch-fidelity calls the file where it keeps its download. Elsewhere it is pt_inception-2015-12-05-....pth."""


@extractors.register("inception")
class InceptionV3:
    """2,048 features before the last layer of Inception-v3, and the logits of 1,008 classes without their bias.

    With weights other than the published ones, the figures are not called FID, KID and Inception score.

    Args:
        path: The file of weights. None: the file that torch-fidelity has downloaded before.

    Raises:
        InputError: torch-fidelity or the file is missing, or the file holds something else.
    """

    has_classes = True
    resize = "bilinear as in TensorFlow 1 to 299"

    def __init__(self, path: str | None = None):
        require_package("torch_fidelity", "metrics", "features=inception")
        from torch_fidelity.feature_extractor_inceptionv3 import (
            URL_INCEPTION_V3,
            FeatureExtractorInceptionV3,
        )

        cached = Path(torch.hub.get_dir()) / "checkpoints" / FILE
        file = Path(path).expanduser() if path else cached
        if not file.is_file():
            raise InputError(
                f"Expected the weights of Inception-v3 at {file}, found no such file. Download {URL_INCEPTION_V3} to "
                f"{cached}, or give the path of the file with --metrics.features_path (evaluate: --features_path). "
                "--metrics.features efficientnet_lite0 (evaluate: --features) needs no download, but gives figures "
                "that are not FID."
            )
        try:
            torch.load(
                file, map_location="cpu", weights_only=True
            )  # torch-fidelity would run code in the file
            self.network = FeatureExtractorInceptionV3(
                "inception-v3-compat", ["2048", "logits_unbiased"], feature_extractor_weights_path=str(file)
            )
        except Exception as error:  # the file can hold anything
            raise InputError(
                f"Expected the weights of Inception-v3 in {file}, found other contents ({type(error).__name__}). "
                f"Give the file that {URL_INCEPTION_V3} gives."
            ) from error
        self.weights = file_digest(file)
        self.published = self.weights.startswith(PUBLISHED)
        self.key = "inception" if self.published else f"inception_{self.weights[:8]}"
        self.title = "Inception-v3" if self.published else f"Inception-v3 (other weights, {self.weights[:8]})"

    @torch.no_grad()
    def __call__(self, images: Tensor) -> tuple[Tensor, Tensor | None]:
        """Features (N, 2048) and logits (N, 1008)."""
        network, x = self.network.to(images.device), to_rgb(images)
        if not images.is_floating_point():
            features, logits = network(x.to(torch.uint8))
            return features, logits
        # torch-fidelity takes integers only. Unrounded images enter at the first layer instead.
        from torch_fidelity.interpolate_compat_tensorflow import interpolate_bilinear_2d_like_tensorflow1x

        x = (interpolate_bilinear_2d_like_tensorflow1x(x, size=(299, 299), align_corners=False) - 128) / 128
        entry = network.Conv2d_1a_3x3.register_forward_pre_hook(lambda module, args: (x,))
        try:
            features, logits = network(torch.zeros(1, 3, 4, 4, dtype=torch.uint8, device=x.device))
        finally:
            entry.remove()
        return features, logits
