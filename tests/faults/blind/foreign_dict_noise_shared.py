"""A generator that returns a dictionary draws one noise for the whole batch."""

from faults.foreign import DictGenerator

FINDINGS = ["noise shared by the batch"]
OBJECT = "batch"


def generator():
    return DictGenerator(noise_batch=1)
