"""The noise of the path length is not divided by √(H·W)."""

import torch
from faults.training import Training

FINDINGS = ["path length differs", "path length noise"]
OBJECT = "H·W"


class Faulty(Training):
    def path_length(self, ws):
        image = self.synthesize(ws)
        (j,) = torch.autograd.grad((image * torch.randn_like(image)).sum(), ws, create_graph=True)
        lengths = j.square().sum(2).mean(1).sqrt()
        mean = self.path_mean + 0.01 * (lengths.mean() - self.path_mean)
        self.remember(mean.detach())
        return (lengths - mean).square().mean() * 2 * self.path_every


def training():
    return Faulty()
