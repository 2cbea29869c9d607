"""The layers to the image lack 1/√in."""

from faults.official import Generator, Parts

FINDINGS = ["image layer gain"]
OBJECT = "first_rgb"


def generator():
    return Generator(Parts(rgb_gain=lambda fan_in: 1.0))
