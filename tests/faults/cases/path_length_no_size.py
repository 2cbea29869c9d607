"""y is not divided by √(H·W)."""

import torch

FINDINGS = ["path length differs"]
OBJECT = "√(H·W)"


def path_length(images, ws, mean):
    y = torch.randn_like(images)
    (j,) = torch.autograd.grad((images * y).sum(), ws, create_graph=True)
    lengths = j.square().sum(2).mean(1).sqrt()
    a = mean + 0.01 * (lengths.mean() - mean)
    return 2 * (lengths - a).square().mean(), a.detach()
