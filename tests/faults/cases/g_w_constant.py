"""w is the same for every latent."""

from faults.official import Generator, Parts

FINDINGS = ["latent ignored"]
OBJECT = "std of the image across z"


def generator():
    return Generator(Parts(w_of=lambda w: w * 0 + 1))
