"""G lowers its logits."""

import torch.nn.functional as F
from faults.training import Training

FINDINGS = ["sign of G's loss"]
OBJECT = "G's loss"


class Faulty(Training):
    def loss_g(self, fake):
        return F.softplus(fake).mean()


def training():
    return Faulty()
