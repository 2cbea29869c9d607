"""z is split among the blocks and the last chunk goes nowhere."""

from faults.foreign import DictGenerator

FINDINGS = ["part of z ignored"]
OBJECT = "of z"


def generator():
    return DictGenerator(chunks=5)
