"""The factor of 16 of lazy regularization is missing."""

import torch

FINDINGS = ["R1 differs"]
OBJECT = "lazy"


EVERY = 16


def r1(discriminator, reals):
    (g,) = torch.autograd.grad(discriminator(reals).sum(), reals, create_graph=True)
    return 5 * g.square().sum(dim=(1, 2, 3)).mean()
