"""Convolutions lack 1/√fan_in."""

from faults.official import Discriminator, Parts

FINDINGS = ["layer gain"]
OBJECT = "fan_in"


def discriminator():
    return Discriminator(Parts(conv_gain=lambda fan_in: 1.0))
