"""No activation has its gain of √2."""

import torch.nn.functional as F
from faults.official import Discriminator, Parts

FINDINGS = ["activation gain"]
OBJECT = "√½"


def discriminator():
    return Discriminator(Parts(activate=lambda x: F.leaky_relu(x, 0.2)))
