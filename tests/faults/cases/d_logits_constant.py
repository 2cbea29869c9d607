"""Logits do not depend on the images."""

from faults.official import Discriminator, Parts

FINDINGS = ["logits ignore images"]
OBJECT = "logits"


def discriminator():
    return Discriminator(Parts(logits_of=lambda logits: logits * 0 + 0.5))
