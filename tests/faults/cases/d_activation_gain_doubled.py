"""The activations have the gain 2 instead of √2."""

import torch.nn.functional as F
from faults.official import Discriminator, Parts

FINDINGS = ["activation gain"]
OBJECT = "√2"


def discriminator():
    return Discriminator(Parts(activate=lambda x: F.leaky_relu(x, 0.2) * 2))
