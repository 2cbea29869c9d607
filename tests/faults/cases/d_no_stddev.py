"""There is no minibatch standard deviation."""

from faults.official import Discriminator, Parts

FINDINGS = ["no minibatch stddev"]
OBJECT = "1 of 8"


def discriminator():
    return Discriminator(Parts(stddev=lambda x: x))
