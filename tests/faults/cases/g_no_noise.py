"""There is no noise."""

from faults.official import Generator, Parts

FINDINGS = ["no noise"]
OBJECT = "G"


def generator():
    return Generator(Parts(noise=None))
