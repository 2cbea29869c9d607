"""Convolutions divide by √in instead of √(in·k²)."""

from faults.official import Discriminator, Parts

FINDINGS = ["layer gain"]
OBJECT = "k = 3"


def discriminator():
    return Discriminator(
        Parts(conv_gain=lambda fan_in: 1 / (fan_in / 9 if fan_in % 9 == 0 else fan_in) ** 0.5)
    )
