"""D ends in a sigmoid, although its loss expects logits."""

from faults.foreign import SNDiscriminator
from torch import nn

FINDINGS = ["bounded logits"]
OBJECT = "sigmoid"


def discriminator():
    return nn.Sequential(SNDiscriminator(), nn.Sigmoid())
