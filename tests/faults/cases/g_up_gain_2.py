"""Up-sampling has a factor of 2 instead of 4."""

from faults.official import Generator, Parts

FINDINGS = ["FIR gain"]
OBJECT = "½"


def generator():
    return Generator(Parts(up_gain=2.0))
