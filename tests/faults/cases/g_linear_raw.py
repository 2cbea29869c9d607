"""Fully connected layers lack 1/√in."""

from faults.official import Generator, Parts

FINDINGS = ["layer gain"]
OBJECT = "√fan_in"


def generator():
    return Generator(Parts(linear_gain=lambda fan_in: 1.0))
