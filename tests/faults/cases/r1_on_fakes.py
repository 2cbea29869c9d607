"""The gradient is taken at generated images."""

import torch

FINDINGS = ["R1 differs"]
OBJECT = "generated images"


def r1(discriminator, reals, fakes):
    (g,) = torch.autograd.grad(discriminator(fakes).sum(), fakes, create_graph=True)
    return 5 * g.square().sum(dim=(1, 2, 3)).mean()
