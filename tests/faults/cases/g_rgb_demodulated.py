"""The layers to the image are demodulated."""

from faults.official import Generator, Parts, demodulated

FINDINGS = ["image layer demodulated"]
OBJECT = "first_rgb"


def generator():
    return Generator(Parts(rgb_demodulate=demodulated))
