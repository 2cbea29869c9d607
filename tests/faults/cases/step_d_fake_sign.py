"""D raises the logits of generated images."""

import torch.nn.functional as F
from faults.training import Training

FINDINGS = ["sign of D's loss"]
OBJECT = "generated"


class Faulty(Training):
    def loss_d(self, real, fake):
        return F.softplus(-real).mean() + F.softplus(-fake).mean()


def training():
    return Faulty()
