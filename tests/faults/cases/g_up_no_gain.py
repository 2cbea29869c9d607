"""Up-sampling lacks its factor of 4."""

from faults.official import Generator, Parts

FINDINGS = ["FIR gain"]
OBJECT = "¼"


def generator():
    return Generator(Parts(up_gain=1.0))
