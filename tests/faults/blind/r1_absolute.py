"""The sum of absolute gradients instead of squares."""

import torch

FINDINGS = ["R1 differs"]
OBJECT = "bsolute"


def r1(discriminator, reals):
    (g,) = torch.autograd.grad(discriminator(reals).sum(), reals, create_graph=True)
    return 5 * g.abs().sum(dim=(1, 2, 3)).mean()
