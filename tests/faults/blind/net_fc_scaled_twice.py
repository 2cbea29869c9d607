"""A fully connected layer keeps PyTorch's initialization and is multiplied by 1/√fan_in as well."""

from faults.official import Discriminator
from torch import nn

FINDINGS = ["layer gain"]
OBJECT = "fc"


def discriminator():
    d = Discriminator()
    d.fc.weight.data = nn.Linear(512, 32).weight.data
    return d
