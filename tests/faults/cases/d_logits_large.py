"""Logits are multiplied by 10⁴."""

from faults.official import Discriminator, Parts

FINDINGS = ["logit size"]
OBJECT = "logits"


def discriminator():
    return Discriminator(Parts(last_gain=1e4))
