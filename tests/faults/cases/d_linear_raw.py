"""Fully connected layers lack 1/√in."""

from faults.official import Discriminator, Parts

FINDINGS = ["layer gain"]
OBJECT = "fc"


def discriminator():
    return Discriminator(Parts(linear_gain=lambda fan_in: 1.0))
