"""Kernels are modulated, but not demodulated."""

from faults.official import Generator, Parts

FINDINGS = ["style scale leaks"]
OBJECT = "first.conv"


def generator():
    return Generator(Parts(demodulate=lambda w: w / w[0, 0].numel() ** 0.5))
