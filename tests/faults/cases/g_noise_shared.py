"""Noise is drawn once for the batch."""

import torch
from faults.official import Generator, Parts

FINDINGS = ["noise shared by the batch"]
OBJECT = "first"


def generator():
    return Generator(Parts(noise=lambda x: torch.randn(1, 1, x.shape[2], x.shape[3])))
