"""The constant input is zero."""

from faults.official import Generator

FINDINGS = ["latent ignored", "image size", "signal vanishes"]
OBJECT = "const"


def generator():
    g = Generator()
    g.const.data.zero_()
    return g
