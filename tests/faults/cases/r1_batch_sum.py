"""The sum over the batch instead of the mean."""

import torch

FINDINGS = ["R1 differs"]
OBJECT = "batch"


def r1(discriminator, reals):
    (g,) = torch.autograd.grad(discriminator(reals).sum(), reals, create_graph=True)
    return 5 * g.square().sum()
