"""Sums of two branches have the factor ½."""

from faults.official import Discriminator, Parts

FINDINGS = ["residual gain"]
OBJECT = "½"


def discriminator():
    return Discriminator(Parts(residual_gain=0.5))
