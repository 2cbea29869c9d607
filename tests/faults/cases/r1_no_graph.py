"""create_graph is missing."""

import torch

FINDINGS = ["R1 has no gradient"]
OBJECT = "create_graph"


def r1(discriminator, reals):
    (g,) = torch.autograd.grad(discriminator(reals).sum(), reals, create_graph=False)
    return 5 * g.square().sum(dim=(1, 2, 3)).mean()
