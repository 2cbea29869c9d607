"""The mapping network alone has no activation gain."""

import torch.nn.functional as F
from faults.official import Generator, Parts

FINDINGS = ["activation gain"]
OBJECT = "mapping"


def generator():
    return Generator(Parts(mapping_activation=lambda x: F.leaky_relu(x, 0.2)))
