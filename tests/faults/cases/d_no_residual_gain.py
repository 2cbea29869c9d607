"""Sums of two branches lack 1/√2."""

from faults.official import Discriminator, Parts

FINDINGS = ["residual gain"]
OBJECT = "blocks.0"


def discriminator():
    return Discriminator(Parts(residual_gain=1.0))
