"""Logits are the logarithm of negative numbers."""

from faults.official import Discriminator, Parts

FINDINGS = ["non-finite logits"]
OBJECT = "logits"


def discriminator():
    return Discriminator(Parts(logits_of=lambda logits: (logits - 10).log()))
