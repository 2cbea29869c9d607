"""G minimizes log(1 - sigmoid(D))."""

import torch.nn.functional as F
from faults.training import Training

FINDINGS = ["saturating loss"]
OBJECT = "sigmoid"


class Faulty(Training):
    def loss_g(self, fake):
        return -F.softplus(fake).mean()


def training():
    return Faulty()
