"""The length of the gradient instead of its square."""

import torch

FINDINGS = ["R1 differs"]
OBJECT = "square"


def r1(discriminator, reals):
    (g,) = torch.autograd.grad(discriminator(reals).sum(), reals, create_graph=True)
    return 5 * g.flatten(1).norm(dim=1).mean()
