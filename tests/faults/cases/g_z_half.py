"""Half of the latent is dropped."""

import torch
from faults.official import Generator, Parts

FINDINGS = ["part of z ignored"]
OBJECT = "[4, 5, 6, 7]"


def generator():
    return Generator(Parts(z_of=lambda z: torch.cat([z[:, :32], torch.ones_like(z[:, 32:])], 1)))
