"""The mean is over the batch instead of the rows."""

import torch

FINDINGS = ["path length differs"]
OBJECT = "axis"


def path_length(images, ws, mean):
    y = torch.randn_like(images) / (images.shape[2] * images.shape[3]) ** 0.5
    (j,) = torch.autograd.grad((images * y).sum(), ws, create_graph=True)
    lengths = j.square().sum(2).mean(0).sqrt()
    a = mean + 0.01 * (lengths.mean() - mean)
    return 2 * (lengths - a).square().mean(), a.detach()
