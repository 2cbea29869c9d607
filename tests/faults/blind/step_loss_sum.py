"""Losses are sums over the batch instead of means."""

import torch.nn.functional as F
from faults.training import Training

FINDINGS = ["loss is a sum over the batch"]
OBJECT = "batch"


class Faulty(Training):
    def loss_g(self, fake):
        return F.softplus(-fake).sum()

    def loss_d(self, real, fake):
        return F.softplus(-real).sum() + F.softplus(fake).sum()


def training():
    return Faulty()
