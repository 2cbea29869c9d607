"""γ instead of γ/2."""

import torch

FINDINGS = ["R1 differs"]
OBJECT = "γ/2"


def r1(discriminator, reals):
    (g,) = torch.autograd.grad(discriminator(reals).sum(), reals, create_graph=True)
    return 10 * g.square().sum(dim=(1, 2, 3)).mean()
