"""The logits are averaged before the gradient."""

import torch

FINDINGS = ["R1 differs"]
OBJECT = "before the gradient"


def r1(discriminator, reals):
    (g,) = torch.autograd.grad(discriminator(reals).mean(), reals, create_graph=True)
    return 5 * g.square().sum(dim=(1, 2, 3)).mean()
