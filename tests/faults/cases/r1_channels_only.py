"""The sum is over channels alone."""

import torch

FINDINGS = ["R1 differs"]
OBJECT = "axis"


def r1(discriminator, reals):
    (g,) = torch.autograd.grad(discriminator(reals).sum(), reals, create_graph=True)
    return 5 * g.square().sum(dim=1).mean()
