"""The layers to the image have twice their gain."""

from faults.official import Generator, Parts

FINDINGS = ["image layer gain"]
OBJECT = "rgb"


def generator():
    return Generator(Parts(rgb_gain=lambda fan_in: 2 / fan_in**0.5))
