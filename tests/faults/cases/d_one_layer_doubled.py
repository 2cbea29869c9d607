"""One layer has a factor of 2."""

from faults.official import Discriminator, Parts

FINDINGS = ["layer gain"]
OBJECT = "blocks.1.conv0"


def discriminator():
    return Discriminator(Parts(first_conv_gain=2.0))
