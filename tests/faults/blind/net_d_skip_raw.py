"""Only the 1×1 convolutions of D's skips lack 1/√in."""

from faults.official import Discriminator

FINDINGS = ["layer gain"]
OBJECT = "skip"


def discriminator():
    d = Discriminator()
    for block in d.blocks:
        block.skip.gain = 1.0
    return d
