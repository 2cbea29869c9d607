"""Kernels have neither demodulation nor 1/√fan_in."""

from faults.official import Generator, Parts

FINDINGS = ["style scale leaks", "layer gain"]
OBJECT = "first.conv"


def generator():
    return Generator(Parts(demodulate=lambda w: w))
