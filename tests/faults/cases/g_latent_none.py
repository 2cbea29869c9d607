"""The latent is not normalized."""

from faults.official import Generator, Parts

FINDINGS = ["latent scale leaks"]
OBJECT = "z doubles"


def generator():
    return Generator(Parts(normalize=lambda z: z))
