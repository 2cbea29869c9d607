"""Real images are standardized with the mean and std of ImageNet."""

import torch
from faults.training import Training

FINDINGS = ["range of reals"]
OBJECT = "real"


class Faulty(Training):
    def reals(self):
        mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
        return ((super().reals() + 1) / 2 - mean[:, None, None]) / std[:, None, None]


def training():
    return Faulty()
