"""No activation has its gain of √2."""

import torch.nn.functional as F
from faults.official import Generator, Parts

FINDINGS = ["activation gain"]
OBJECT = "√½"


def generator():
    return Generator(
        Parts(activate=lambda x: F.leaky_relu(x, 0.2), mapping_activation=lambda x: F.leaky_relu(x, 0.2))
    )
