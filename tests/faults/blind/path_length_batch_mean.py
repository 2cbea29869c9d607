"""Lengths are compared with the mean of their own batch."""

import torch

FINDINGS = ["path length differs", "path length mean not updated"]
OBJECT = "batch"


def path_length(images, ws, mean):
    y = torch.randn_like(images) / (images.shape[2] * images.shape[3]) ** 0.5
    (j,) = torch.autograd.grad((images * y).sum(), ws, create_graph=True)
    lengths = j.square().sum(2).mean(1).sqrt()
    return 2 * (lengths - lengths.mean()).square().mean(), mean + 0.01 * (lengths.mean() - mean).detach()
