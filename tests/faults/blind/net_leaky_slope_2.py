"""The slope of leaky ReLU is 2 instead of 0.2."""

import torch.nn.functional as F
from faults.official import Discriminator, Parts

FINDINGS = ["activation gain"]
OBJECT = "2.2"


def discriminator():
    return Discriminator(Parts(activate=lambda x: F.leaky_relu(x, 2.0) * 2**0.5))
