"""The activations have the gain 2 instead of √2."""

import torch.nn.functional as F
from faults.official import Generator, Parts

FINDINGS = ["activation gain"]
OBJECT = "√2"


def generator():
    return Generator(Parts(activate=lambda x: F.leaky_relu(x, 0.2) * 2))
