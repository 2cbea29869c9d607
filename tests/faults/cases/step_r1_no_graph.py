"""R1 without create_graph."""

import torch
from faults.training import Training

FINDINGS = ["R1 has no gradient"]
OBJECT = "create_graph"


class Faulty(Training):
    def r1(self, reals, fakes):
        x = reals.detach().requires_grad_()
        score = self.discriminator(x)
        (g,) = torch.autograd.grad(score.sum(), x, retain_graph=True)
        return g.square().sum((1, 2, 3)).mean() * 20 + 0 * score.mean()


def training():
    return Faulty()
